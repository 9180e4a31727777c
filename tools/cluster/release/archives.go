package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/eventing-eventmesh/eventing-eventmesh/tools/cluster/chart"
)

const imagePrefix = "ko://github.com/eventing-eventmesh/eventing-eventmesh/cmd/"

// writeArchives writes the charts, and the kustomizations that overlays are made of, both with the images by digest.
func writeArchives(ctx context.Context, o options, images []string) error {
	var pairs []string
	for _, image := range images {
		name := strings.FieldsFunc(path.Base(image), func(r rune) bool { return r == ':' || r == '@' })[0]
		pairs = append(pairs, imagePrefix+name+"\n", image+"\n")
	}
	byDigest := strings.NewReplacer(pairs...)
	for _, c := range chart.All {
		files, err := c.Files(o.root, o.version, byDigest)
		if err != nil {
			return fmt.Errorf("making chart %s: %w", c.Name, err)
		}
		file := c.Name + "-" + strings.TrimPrefix(o.version, "v") + ".tgz"
		if err := writeArchive(filepath.Join(o.out, file), c.Name, files); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	list, err := git(ctx, o.root, "ls-files", "config")
	if err != nil {
		return err
	}
	files := map[string]string{}
	for name := range strings.Lines(list + "\n") {
		name = strings.TrimSpace(name)
		text, err := os.ReadFile(filepath.Join(o.root, name)) //nolint:gosec // the files are those of the repository
		if err != nil {
			return err
		}
		files[name] = byDigest.Replace(string(text))
	}
	return writeArchive(filepath.Join(o.out, "eventmesh-config.tar.gz"), "", files)
}

// writeArchive writes files into a tar file below a folder: the same files are the same bytes.
func writeArchive(file, folder string, files map[string]string) (err error) {
	out, err := os.Create(file) //nolint:gosec // in the folder of the release
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	compressed := gzip.NewWriter(out)
	archive := tar.NewWriter(compressed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		if strings.Contains(text, "image: "+imagePrefix) {
			return fmt.Errorf("%s names an image that is not released", name)
		}
		if err := archive.WriteHeader(&tar.Header{Name: path.Join(folder, name), Mode: 0o644, Size: int64(len(text))}); err != nil {
			return err
		}
		if _, err := archive.Write([]byte(text)); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), compressed.Close())
}
