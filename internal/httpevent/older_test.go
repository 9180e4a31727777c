package httpevent_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
)

// tooMany is an event of 0.3 with more attributes than any receiver has to accept.
func tooMany() http.Header {
	h := http.Header{"Ce-Specversion": {"0.3"}, "Ce-Id": {"1"}, "Ce-Source": {"/shop"}, "Ce-Type": {"order"}}
	for i := range 100 {
		h[fmt.Sprint("Ce-X", i)] = []string{"v"}
	}
	return h
}

func TestReadOlder(t *testing.T) {
	for name, test := range map[string]struct {
		header http.Header
		body   string
		data   string
		older  bool
	}{
		"binary": {
			http.Header{"Ce-Specversion": {"0.3"}, "Ce-Id": {"1"}, "Ce-Source": {"/shop"}, "Ce-Type": {"order"}, "Ce-Subject": {"7"}, "Ce-Region": {"eu"}, "Content-Type": {"application/json"}},
			"{}", "{}", true,
		},
		"structured": {
			http.Header{"Content-Type": {"application/cloudevents+json"}},
			`{"specversion":"0.3","id":"1","source":"/shop","type":"order","subject":"7","region":"eu","datacontenttype":"application/json","data":{}}`, "{}", true,
		},
		"structured, with data in base64": {
			http.Header{"Content-Type": {"application/cloudevents+json"}},
			`{"specversion":"0.3","id":"1","source":"/shop","type":"order","subject":"7","region":"eu","datacontenttype":"application/json","datacontentencoding":"base64","data":"e30="}`, "{}", true,
		},
		"too many attributes": {tooMany(), "", "", false},
		"no source":           {http.Header{"Content-Type": {"application/cloudevents+json"}}, `{"specversion":"0.3","id":"1"`, "", false},
		"another version":     {http.Header{"Ce-Specversion": {"0.2"}, "Ce-Id": {"1"}, "Ce-Source": {"/shop"}, "Ce-Type": {"order"}}, "", "", false},
		"packed":              {http.Header{"Ce-Specversion": {"0.3"}, "Content-Encoding": {"gzip"}}, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := httpevent.Read(test.header, []byte(test.body)); test.older && !errors.Is(err, httpevent.ErrVersion) {
				t.Errorf("Read: got %v, want ErrVersion", err)
			}
			e, err := httpevent.ReadOlder(t.Context(), test.header, []byte(test.body))
			if !test.older {
				if err == nil {
					t.Errorf("got %v", e)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if e.SpecVersion() != "1.0" || e.ID() != "1" || e.Subject() != "7" || e.Extensions()["region"] != "eu" || len(e.Extensions()) != 1 || string(e.Data()) != test.data || e.DataContentType() != "application/json" {
				t.Errorf("got %v", e)
			}
		})
	}
}
