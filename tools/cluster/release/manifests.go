package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// manifests are the folders of config/ that are released, each as a file eventmesh-<name>.yaml.
var manifests = []string{"quickstart", "source", "sink", "broker", "monitoring"}

const repository = "https://github.com/eventing-eventmesh/eventing-eventmesh"

// writeManifests writes the manifests, the SBOMs of the images that they name, and the list of the images, which it returns.
func writeManifests(ctx context.Context, o options) (images []string, err error) {
	commit, err := git(ctx, o.root, "rev-parse", "HEAD")
	if err != nil {
		return nil, err
	}
	byDigest := regexp.MustCompile(regexp.QuoteMeta(o.repo) + `/[^\s"]+@sha256:[0-9a-f]{64}`)
	for _, name := range manifests {
		objects, err := build(filepath.Join(o.root, "config", name), o.version)
		if err != nil {
			return nil, fmt.Errorf("building config/%s: %w", name, err)
		}
		resolved, err := resolve(ctx, o, commit, objects)
		if err != nil {
			return nil, fmt.Errorf("building the images of config/%s: %w", name, err)
		}
		images = append(images, byDigest.FindAllString(string(resolved), -1)...)
		if err := os.WriteFile(filepath.Join(o.out, "eventmesh-"+name+".yaml"), resolved, 0o600); err != nil {
			return nil, err
		}
	}
	slices.Sort(images)
	images = slices.Compact(images)
	return images, os.WriteFile(filepath.Join(o.out, "images.txt"), []byte(strings.Join(images, "\n")+"\n"), 0o600)
}

// build returns the objects of a folder, each with the version in its labels.
func build(folder, version string) ([]byte, error) {
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, err
	}
	for _, object := range objects.Resources() {
		labels := object.GetLabels()
		labels["app.kubernetes.io/version"] = version
		if err := object.SetLabels(labels); err != nil {
			return nil, fmt.Errorf("%s: %w", object.CurId(), err)
		}
	}
	return objects.AsYaml()
}

// resolve lets ko build and push the images that the objects name, and returns the objects with the images by digest.
func resolve(ctx context.Context, o options, commit string, objects []byte) ([]byte, error) {
	out, err := filepath.Abs(o.out)
	if err != nil {
		return nil, err
	}
	ko, err := filepath.Abs(o.ko)
	if err != nil {
		return nil, err
	}
	//nolint:gosec // the program is what the command line names
	command := exec.CommandContext(ctx, ko, "resolve", "--filename=-", "--base-import-paths", "--tags="+o.version,
		"--sbom=spdx", "--sbom-dir="+out,
		"--image-label=org.opencontainers.image.version="+o.version,
		"--image-label=org.opencontainers.image.revision="+commit,
		"--image-label=org.opencontainers.image.source="+repository,
		"--image-label=org.opencontainers.image.licenses=Apache-2.0")
	command.Dir = o.root
	// The version is stamped even where the environment keeps other builds from it.
	command.Env = append(os.Environ(), "KO_DOCKER_REPO="+o.repo, "GOFLAGS="+os.Getenv("GOFLAGS")+" -buildvcs=true")
	command.Stdin, command.Stderr = bytes.NewReader(objects), os.Stderr
	resolved, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("ko: %w", err)
	}
	return resolved, nil
}
