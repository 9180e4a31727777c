//go:build e2e

package rekt

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// checkImage is that in which the suites run curl. It may be out of reach.
const checkImage = "registry.access.redhat.com/ubi8/ubi"

// replaceChecks gives the pods that ask services whether they are ready an image of ours, until the context ends.
func replaceChecks(ctx context.Context) error {
	image, err := pushCheck(ctx)
	if err != nil {
		return fmt.Errorf("making the image of readiness checks: %w", err)
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	go wait.UntilWithContext(ctx, func(ctx context.Context) { replaceImages(ctx, client, image) }, 500*time.Millisecond)
	return nil
}

// replaceImages looks at the pods of Jobs once.
func replaceImages(ctx context.Context, client kubernetes.Interface, image string) {
	pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: "batch.kubernetes.io/job-name"})
	if err != nil {
		log.Printf("looking for readiness checks: %v", err)
		return
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.Spec.Containers[0].Image != checkImage {
			continue
		}
		patch := fmt.Sprintf(`{"spec":{"containers":[{"name":%q,"image":%q}]}}`, p.Spec.Containers[0].Name, image)
		if _, err := client.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			log.Printf("replacing the image of %s: %v", p.Name, err)
		}
	}
}

// pushCheck builds an image of the program sh alone, and pushes it.
func pushCheck(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "rekt")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "sh")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./sh")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "bin/sh", Mode: 0o755, Size: int64(len(program))}); err != nil {
		return "", err
	}
	if _, err := w.Write(program); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		return "", err
	}
	image, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return "", err
	}
	tag := strings.TrimSuffix(os.Getenv("KO_DOCKER_REPO"), "/") + "/readiness-check:v1"
	to, err := name.ParseReference(tag)
	if err != nil {
		return "", err
	}
	return tag, remote.Write(to, image, remote.WithContext(ctx))
}
