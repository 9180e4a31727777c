package version

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

func TestAsked(t *testing.T) {
	for arguments, want := range map[string]bool{"--version": true, "-version": true, "": false, "version": false, "--version --help": false} {
		if got := Asked(strings.Fields(arguments)); got != want {
			t.Errorf("%q: got %t, want %t", arguments, got, want)
		}
	}
}

func TestUnknown(t *testing.T) {
	if got, want := Line("x"), "x "+Unknown+", "+runtime.Version()+", "+runtime.GOOS+"/"+runtime.GOARCH; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Every program says its version, whatever else it would want, and ends.
func TestPrograms(t *testing.T) {
	programs, err := filepath.Glob("../../cmd/*")
	if err != nil || len(programs) == 0 {
		t.Fatalf("got %d programs, %v", len(programs), err)
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/", "../../cmd/...").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	for _, path := range programs {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			command := exec.CommandContext(t.Context(), filepath.Join(dir, name), "--version")
			command.Env = []string{} // of what the others are configured by nothing is there
			out, err := command.Output()
			// From a checkout the version is a pseudo-version or a tag, and from elsewhere none.
			want := regexp.MustCompile(`^[a-z-]*` + name + ` (v[0-9]\S+|\(devel\)), ` + regexp.QuoteMeta(runtime.Version()) + `, \w+/\w+\n$`)
			if err != nil || !want.Match(out) {
				t.Errorf("got %q, %v; want %s", out, err, want)
			}
		})
	}
}
