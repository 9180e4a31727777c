package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"sigs.k8s.io/kustomize/kyaml/kio"
)

const version = "v0.1.0"

var imagePattern = regexp.MustCompile(`(?m)^[ -]*image: *(\S+)$`)

// TestRelease makes a release of the files of this repository as they are, for one platform and on an empty base.
func TestRelease(t *testing.T) {
	o := options{version: version, root: repositoryOf(t, taggedFiles(t)), ko: program(t), repo: registryWithBase(t) + "/released"}
	git := func(arguments ...string) string { return mustGit(t, o.root, arguments...) }
	git("tag", version)
	o.out = filepath.Join(o.root, "release")
	if err := release(t.Context(), o); err != nil {
		t.Fatal(err)
	}

	inManifests := map[string]bool{}
	for _, name := range manifests {
		text := string(read(t, filepath.Join(o.out, "eventmesh-"+name+".yaml")))
		checkObjects(t, name, text)
		for _, image := range imagePattern.FindAllStringSubmatch(text, -1) {
			inManifests[image[1]] = true
		}
	}
	images := strings.Fields(string(read(t, filepath.Join(o.out, "images.txt"))))
	if got := slices.Sorted(maps.Keys(inManifests)); !slices.Equal(got, images) || len(images) != 6 {
		t.Errorf("the manifests have %q, images.txt has %q; want the same six", got, images)
	}
	commit := git("rev-parse", "HEAD")
	for _, image := range images {
		checkImage(t, image, commit)
	}
	checkSBOMs(t, o.out, len(images))
	checkArchives(t, o.out, images)
	checkChecksums(t, o.out)
	if got := string(read(t, filepath.Join(o.out, "RELEASE_NOTES.md"))); !strings.HasPrefix(got, "### Added\n") {
		t.Errorf("got the notes %q, want those of CHANGELOG.md", got)
	}
	if changes := git("status", "--porcelain"); changes != "" {
		t.Errorf("the release changed the repository:\n%s", changes)
	}
	if err := release(t.Context(), o); !errors.Is(err, os.ErrExist) {
		t.Errorf("where there is a release: got %v, want %v", err, os.ErrExist)
	}
}

// A failed release leaves nothing that could be taken for one.
func TestFailedReleaseLeavesNothing(t *testing.T) {
	t.Parallel()
	o := options{version: version, root: repositoryOf(t, taggedFiles(t)), ko: "/nonexistent/ko", repo: "localhost/released"}
	mustGit(t, o.root, "tag", version)
	o.out = filepath.Join(o.root, "release")
	if err := release(t.Context(), o); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want %v", err, os.ErrNotExist)
	}
	if _, err := os.Stat(o.out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v for the folder, want %v", err, os.ErrNotExist)
	}
}

func checkObjects(t *testing.T, file, text string) {
	t.Helper()
	if strings.Contains(text, "ko://") {
		t.Errorf("%s has images that are not built", file)
	}
	objects, err := kio.FromBytes([]byte(text))
	if err != nil || len(objects) == 0 {
		t.Fatalf("%s: got %d objects, %v", file, len(objects), err)
	}
	seen := map[string]bool{}
	for _, object := range objects {
		id := object.GetKind() + " " + object.GetNamespace() + "/" + object.GetName()
		if seen[id] {
			t.Errorf("%s has %s twice", file, id)
		}
		seen[id] = true
		if got := object.GetLabels()["app.kubernetes.io/version"]; got != version {
			t.Errorf("%s: %s has version %q, want %q", file, id, got, version)
		}
	}
}

func checkImage(t *testing.T, reference, commit string) {
	t.Helper()
	digest, err := name.NewDigest(reference)
	if err != nil {
		t.Errorf("%s is not named by its digest: %v", reference, err)
		return
	}
	image, err := remote.Image(digest, remote.WithContext(t.Context()))
	if err != nil {
		t.Errorf("the registry does not have %s: %v", reference, err)
		return
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	for label, want := range map[string]string{"version": version, "revision": commit, "source": repository, "licenses": "Apache-2.0"} {
		if got := config.Config.Labels["org.opencontainers.image."+label]; got != want {
			t.Errorf("%s has %s %q, want %q", reference, label, got, want)
		}
	}
	if got := programVersion(t, image); got != version {
		t.Errorf("the program of %s has version %q, want %q", reference, got, version)
	}
}

// programVersion returns what the program in an image says with --version, which is what Go has stamped.
func programVersion(t *testing.T, image v1.Image) string {
	t.Helper()
	files := mutate.Extract(image)
	defer func() { _ = files.Close() }()
	for archive := tar.NewReader(files); ; {
		header, err := archive.Next()
		if err != nil {
			t.Fatalf("looking for the program: %v", err)
		}
		if !strings.Contains(header.Name, "ko-app/") || header.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		info, err := buildinfo.Read(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		return info.Main.Version
	}
}

func checkSBOMs(t *testing.T, dir string, images int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.spdx.json"))
	if err != nil || len(files) < images {
		t.Errorf("got %d SBOMs, %v; want one of each of %d images", len(files), err, images)
	}
	for _, file := range files {
		var sbom struct {
			Version  string `json:"spdxVersion"`
			Packages []any  `json:"packages"`
		}
		if err := json.Unmarshal(read(t, file), &sbom); err != nil || !strings.HasPrefix(sbom.Version, "SPDX-") || len(sbom.Packages) == 0 {
			t.Errorf("%s: got SPDX %q with %d packages, %v", filepath.Base(file), sbom.Version, len(sbom.Packages), err)
		}
	}
}

// checkArchives checks that charts and kustomizations are there, and name the images of the manifests.
func checkArchives(t *testing.T, dir string, images []string) {
	t.Helper()
	for file, want := range map[string]string{
		"eventmesh-source-0.1.0.tgz": "eventmesh-source/values.yaml",
		"eventmesh-sink-0.1.0.tgz":   "eventmesh-sink/templates/deployment.yaml",
		"eventmesh-broker-0.1.0.tgz": "eventmesh-broker/Chart.yaml",
		"eventmesh-config.tar.gz":    "config/sink/kustomization.yaml",
	} {
		files := unpack(t, filepath.Join(dir, file))
		if files[want] == "" {
			t.Errorf("%s has no %s", file, want)
		}
		named := 0
		for name, text := range files {
			for _, image := range imagePattern.FindAllStringSubmatch(text, -1) {
				if named++; !slices.Contains(images, image[1]) {
					t.Errorf("%s: %s names %s, which is not released", file, name, image[1])
				}
			}
		}
		if named == 0 {
			t.Errorf("%s names no image", file)
		}
	}
}

func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	compressed, err := gzip.NewReader(bytes.NewReader(read(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(compressed); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(text)
	}
}

func checkChecksums(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, entry := range entries {
		if entry.Name() != "checksums.txt" {
			want = append(want, fmt.Sprintf("%x  %s", sha256.Sum256(read(t, filepath.Join(dir, entry.Name()))), entry.Name()))
		}
	}
	if got := strings.Split(strings.TrimSpace(string(read(t, filepath.Join(dir, "checksums.txt")))), "\n"); !slices.Equal(got, want) {
		t.Errorf("got checksums %q, want %q", got, want)
	}
}

// registryWithBase returns the address of a registry in memory. ko takes its base from there, for the platform of this machine alone.
func registryWithBase(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	base, err := name.ParseReference(address + "/base:v1")
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH, RootFS: v1.RootFS{Type: "layers"}})
	if err == nil {
		err = remote.Write(base, image, remote.WithContext(t.Context()))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KO_DEFAULTBASEIMAGE", base.String())
	t.Setenv("KO_DEFAULTPLATFORMS", "linux/"+runtime.GOARCH)
	return address
}

// program returns ko as make tools has built it.
func program(t *testing.T) string {
	t.Helper()
	ko, err := filepath.Abs("../../../bin/tools/ko")
	if err == nil {
		_, err = os.Stat(ko)
	}
	if err != nil {
		t.Fatalf("%v: run make tools", err)
	}
	return ko
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
