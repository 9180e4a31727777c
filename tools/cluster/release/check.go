package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
)

// check returns the release notes, or says why there can be no such release.
func check(ctx context.Context, o options) (notes string, err error) {
	if o.version != semver.Canonical(o.version) || o.version == "" {
		return "", fmt.Errorf("version %q: want one such as v0.1.0 or v0.1.0-rc.1", o.version)
	}
	if o.repo == "" {
		return "", errors.New("KO_DOCKER_REPO is not set: want the registry and path that images are pushed to, such as ghcr.io/your-name/eventmesh")
	}
	changelog, err := os.ReadFile(filepath.Join(o.root, "CHANGELOG.md"))
	if err != nil {
		return "", err
	}
	notes, err = section(string(changelog), strings.TrimPrefix(o.version, "v"))
	if err != nil {
		return "", fmt.Errorf("CHANGELOG.md: %w", err)
	}
	tags, err := git(ctx, o.root, "tag", "--points-at", "HEAD")
	if err != nil {
		return "", err
	}
	if !slices.Contains(strings.Fields(tags), o.version) {
		return "", fmt.Errorf("the commit has no tag %s, which the programs would know their version from: make it with git tag %[1]s", o.version)
	}
	changes, err := git(ctx, o.root, "status", "--porcelain")
	if err == nil && changes != "" {
		err = fmt.Errorf("there are changes that %s does not have:\n%s", o.version, changes)
	}
	return notes, err
}

// headings are those of versions, and what ends the last of them: the addresses that they link to.
var headings = regexp.MustCompile(`(?m)^(?:## \[?([^\]\s]+)\]?.*\n|\[[^\]]+\]: )`)

// section returns what is said of a version in a text in the form of Keep a Changelog, without its heading.
func section(changelog, version string) (string, error) {
	all := headings.FindAllStringSubmatchIndex(changelog, -1)
	for i, at := range all {
		if at[2] < 0 || changelog[at[2]:at[3]] != version {
			continue
		}
		end := len(changelog)
		if i+1 < len(all) {
			end = all[i+1][0]
		}
		if text := strings.TrimSpace(changelog[at[1]:end]); text != "" {
			return text + "\n", nil
		}
		return "", fmt.Errorf("the section of version %s is empty", version)
	}
	return "", fmt.Errorf("there is no section of version %s, want one that begins with \"## [%[1]s] - \" and the date", version)
}

// git returns what the command prints, without the space around it.
func git(ctx context.Context, dir string, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, "git", arguments...) //nolint:gosec // the arguments are those of this program
	command.Dir = dir
	out, err := command.Output()
	if err != nil {
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("git %s: %w", arguments[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}
