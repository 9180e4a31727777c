package monitoring

import (
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	grafana "github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// TestDashboardsFitGrafana: the dashboards have fields that Grafana's own schemas have, with values that these allow. Grafana itself passes
// over a field that it does not know, so a panel would look otherwise without a word.
func TestDashboardsFitGrafana(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	for _, file := range []string{"dashboard.json", "dashboard-broker.json"} {
		var d grafana.Dashboard //nolint:staticcheck // the later one is another format, which Grafana 10 does not read
		if err := d.UnmarshalJSONStrict(readFile(t, "config/monitoring/"+file)); err != nil {
			for complaint := range strings.Lines(err.Error()) {
				// The schemas ask for fields for which Grafana itself has defaults.
				if complaint = strings.TrimSpace(complaint); !strings.HasSuffix(complaint, ": required field is missing from input") {
					t.Errorf("%s: %s", file, complaint)
				}
			}
		}
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
