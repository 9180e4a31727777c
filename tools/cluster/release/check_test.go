package main

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const changelog = `# Changelog

## [Unreleased]

## [0.2.0] - 2026-12-01

## [0.1.0] - 2026-11-27

### Added

- What is [new].

## 0.1.0-rc.1 - 2026-11-26

- First.

[new]: https://example.org/new
`

// commit is the command that makes one, whatever git is configured to.
var commit = []string{"-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--message=test"}

func TestSection(t *testing.T) {
	t.Parallel()
	for version, test := range map[string]struct{ want, err string }{
		"0.1.0":      {want: "### Added\n\n- What is [new].\n"},
		"0.1.0-rc.1": {want: "- First.\n"},
		"0.2.0":      {err: "the section of version 0.2.0 is empty"},
		"0.3.0":      {err: "there is no section of version 0.3.0"},
		"0.1":        {err: "there is no section of version 0.1,"},
	} {
		got, err := section(changelog, version)
		if got != test.want || !says(err, test.err) {
			t.Errorf("%s: got %q, %v; want %q, %q", version, got, err, test.want, test.err)
		}
	}
}

func TestWhatKeepsARelease(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		version, repo string   // if others than v0.1.0 and a registry
		git           []string // a command after the tag
		path, content string   // of a file that is then written
		err           string
	}{
		"nothing":        {},
		"no version":     {version: "none", err: `version "": want one such as v0.1.0`},
		"without v":      {version: "0.1.0", err: `version "0.1.0": want one such as v0.1.0`},
		"two numbers":    {version: "v0.1", err: `version "v0.1": want one such as v0.1.0`},
		"no registry":    {repo: "none", err: "KO_DOCKER_REPO is not set"},
		"no section":     {version: "v0.3.0", err: "CHANGELOG.md: there is no section of version 0.3.0"},
		"an empty one":   {version: "v0.2.0", err: "CHANGELOG.md: the section of version 0.2.0 is empty"},
		"no tag":         {git: []string{"tag", "-d", "v0.1.0"}, err: "the commit has no tag v0.1.0"},
		"an earlier tag": {git: append(slices.Clone(commit), "--allow-empty"), err: "the commit has no tag v0.1.0"},
		"a new file":     {path: "new.go", content: "package new", err: "there are changes that v0.1.0 does not have:\n?? new.go"},
		"a changed file": {path: "CHANGELOG.md", content: changelog + "\n", err: "there are changes that v0.1.0 does not have:\nM CHANGELOG.md"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			none := strings.NewReplacer("none", "")
			o := options{version: none.Replace(cmp.Or(test.version, "v0.1.0")), repo: none.Replace(cmp.Or(test.repo, "registry.example/eventmesh"))}
			o.root = repositoryOf(t, map[string]string{"CHANGELOG.md": changelog})
			mustGit(t, o.root, "tag", "v0.1.0")
			if test.git != nil {
				mustGit(t, o.root, test.git...)
			}
			if test.path != "" {
				write(t, o.root, test.path, test.content)
			}
			if _, err := check(t.Context(), o); !says(err, test.err) {
				t.Errorf("got %v, want %q", err, test.err)
			}
		})
	}
}

func says(err error, want string) bool {
	if want == "" {
		return err == nil
	}
	return err != nil && strings.Contains(err.Error(), want)
}

// taggedFiles are those of this repository, as they are now, with a section of the version in the changelog.
func taggedFiles(t *testing.T) map[string]string {
	t.Helper()
	const root = "../../.."
	files := map[string]string{}
	for path := range strings.SplitSeq(mustGit(t, root, "ls-files", "--cached", "--others", "--exclude-standard", "-z"), "\x00") {
		content, err := os.ReadFile(filepath.Join(root, path))
		if path == "" || errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		files[path] = string(content)
	}
	const unreleased = "## [Unreleased]\n"
	if !strings.Contains(files["CHANGELOG.md"], unreleased) {
		t.Fatalf("CHANGELOG.md has no %q", unreleased)
	}
	files["CHANGELOG.md"] = strings.Replace(files["CHANGELOG.md"], unreleased, unreleased+"\n## [0.1.0] - 2026-11-27\n\n### Added\n\n- All of it.\n", 1)
	return files
}

// repositoryOf returns the folder of a repository with one commit.
func repositoryOf(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	mustGit(t, root, "init", "--quiet")
	for path, content := range files {
		write(t, root, path, content)
	}
	mustGit(t, root, "add", "--all")
	mustGit(t, root, commit...)
	return root
}

func mustGit(t *testing.T, root string, arguments ...string) string {
	t.Helper()
	out, err := git(t.Context(), root, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func write(t *testing.T, root, path, content string) {
	t.Helper()
	path = filepath.Join(root, path)
	err := os.MkdirAll(filepath.Dir(path), 0o750)
	if err == nil {
		err = os.WriteFile(path, []byte(content), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
