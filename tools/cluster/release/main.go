// Program release makes the files that people install: manifests and Helm charts with images by digest, an SBOM of each image, the list of
// the images, release notes and checksums. It pushes the images to the registry that KO_DOCKER_REPO names. It runs in the root of the repository.
//
// What it releases is the commit that has the version as its tag, since that is where the programs know their version from: Go stamps it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// options are what a release is made from.
type options struct {
	version string // with its v, such as v0.1.0
	root    string // of the repository
	out     string // the folder to make
	ko      string // the program
	repo    string // registry and path of the images, as in KO_DOCKER_REPO
}

func main() {
	o := options{root: ".", repo: os.Getenv("KO_DOCKER_REPO")}
	flag.StringVar(&o.version, "version", "", "the `version` to release, such as v0.1.0; a tag of the commit, and a section of CHANGELOG.md")
	flag.StringVar(&o.out, "out", "release", "the `folder` to make; it must not be there")
	flag.StringVar(&o.ko, "ko", "bin/tools/ko", "the `program` that builds the images")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := release(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release makes the folder o.out, and leaves none when it fails.
func release(ctx context.Context, o options) (err error) {
	notes, err := check(ctx, o)
	if err != nil {
		return err
	}
	if err := os.Mkdir(o.out, 0o750); err != nil {
		return fmt.Errorf("making the folder of the release: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(o.out))
		}
	}()
	if err := os.WriteFile(filepath.Join(o.out, "RELEASE_NOTES.md"), []byte(notes), 0o600); err != nil {
		return err
	}
	images, err := writeManifests(ctx, o)
	if err != nil {
		return err
	}
	if err := writeArchives(ctx, o, images); err != nil {
		return err
	}
	return writeChecksums(o.out)
}
