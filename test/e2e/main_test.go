//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"knative.dev/eventing/pkg/client/clientset/versioned"
)

const root = "../.."

// cluster is the one that KUBECONFIG names, and eventing its Knative Eventing.
var (
	cluster  *kubernetes.Clientset
	eventing *versioned.Clientset
)

func TestMain(m *testing.M) {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// prepare connects to the cluster, and builds the images, so that no test waits for a compiler.
func prepare() error {
	for _, name := range []string{"KUBECONFIG", "KO_DOCKER_REPO"} {
		if os.Getenv(name) == "" {
			return fmt.Errorf("%s is not set", name)
		}
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return fmt.Errorf("reading KUBECONFIG: %w", err)
	}
	config.RateLimiter = nil
	config.QPS = -1 // the traffic goes through this client
	config.WarningHandler = rest.NoWarnings{}
	if cluster, err = kubernetes.NewForConfig(config); err != nil {
		return fmt.Errorf("creating a client: %w", err)
	}
	if eventing, err = versioned.NewForConfig(config); err != nil {
		return fmt.Errorf("creating a client of Knative Eventing: %w", err)
	}
	nodes, err := cluster.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("reaching the cluster: %w", err)
	}
	if os.Getenv("KO_DEFAULTPLATFORMS") == "" {
		if err := os.Setenv("KO_DEFAULTPLATFORMS", "linux/"+nodes.Items[0].Status.NodeInfo.Architecture); err != nil {
			return err
		}
	}
	// ko keeps the programs in KOCACHE, so that only the first use of an image links its program.
	for _, command := range []string{"make images", "ko build knative.dev/eventing/cmd/event_display"} {
		build := exec.Command("sh", "-c", command)
		build.Dir = root
		if output, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building images: %s: %w\n%s", command, err, strings.TrimSpace(string(output)))
		}
	}
	return nil
}
