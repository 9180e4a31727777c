package monitoring

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Serve returns an address at which nobody listened a moment ago, and the variable by which a program serves its metrics there.
func Serve(t *testing.T) (address, variable string) {
	t.Helper()
	address = FreeAddress(t)
	return address, `K_OBSERVABILITY_CONFIG={"metrics":{"protocol":"prometheus","endpoint":"` + address + `"}}`
}

// FreeAddress is one at which nobody listened a moment ago.
func FreeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// notOurs begin the names of what Go, Prometheus and OpenTelemetry say of themselves.
var notOurs = []string{"go_", "process_", "promhttp_", "target_info"}

// CheckProcess compares what a program serves with the list, and once they are the same, with the documents.
func CheckProcess(t *testing.T, program, address string) (differs string) {
	t.Helper()
	text, err := get(t, address)
	if err != nil {
		return err.Error()
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	parsed, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	exported := map[string]family{}
	for name, one := range parsed {
		if !slices.ContainsFunc(notOurs, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			exported[name] = familyOf(one)
		}
	}
	if differs := compare(t, program, exported); differs != "" {
		return differs
	}
	checkDocumentation(t, program, exported)
	return ""
}

// Missing tells whether samples are missing of what a program serves. Each is the name, one of its labels or none, and the value, with a
// blank in between.
func Missing(t *testing.T, address string, samples ...string) (missing string) {
	t.Helper()
	text, err := get(t, address)
	if err != nil {
		return err.Error()
	}
	for _, want := range samples {
		if missing := missingSample(text, want); missing != "" {
			return missing
		}
	}
	return ""
}

func missingSample(text, want string) string {
	part := strings.Split(want, " ")
	var similar []string
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, part[0]+"{") && strings.Contains(line, part[1]) && strings.HasSuffix(line, "} "+part[2]) {
			return ""
		}
		if strings.HasPrefix(line, part[0]) {
			similar = append(similar, line)
		}
	}
	return fmt.Sprintf("want %s, got %s", want, strings.Join(similar, "; "))
}

// get returns what is served.
func get(t *testing.T, address string) (string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}
