package next_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
)

func inBase64(data string) string {
	return `,"data_base64":"` + base64.StdEncoding.EncodeToString([]byte(data)) + `"`
}

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func version03(event string) string { return strings.Replace(event, "1.0", "0.3", 1) }

func TestWhatComesOut(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"no data", event("1"), event("1")},
		{"object", event("1", `,"data":{ "b" : 1.50, "a": [ ] }`), event("1", `,"datacontenttype":"application/json","data":{"b":1.5,"a":[]}`)},
		{"string", event("1", `,"data":"\u00e9\ud83d\ude00"`), event("1", `,"datacontenttype":"application/json","data":"é😀"`)},
		{"number", event("1", `,"datacontenttype":"text/json;charset=utf-8","data":1e2`),
			event("1", `,"datacontenttype":"text/json;charset=utf-8","data":100.0`)},
		{"null", event("1", `,"data":null`), event("1", `,"datacontenttype":"application/json","data":null`)},
		{"text", event("1", `,"datacontenttype":"text/plain","data":"x"`), event("1", `,"datacontenttype":"text/plain"`, inBase64("x"))},
		{"bytes", event("1", `,"datacontenttype":"image/png"`, inBase64("\xff")), event("1", `,"datacontenttype":"image/png"`, inBase64("\xff"))},
		{"JSON in Base64", event("1", `,"datacontenttype":"application/cloudevents+json"`, inBase64(" {} ")),
			event("1", `,"datacontenttype":"application/cloudevents+json","data":{}`)},
		{"JSON in Base64 without a type", event("1", inBase64(`[1]`)), event("1", `,"data":[1]`)},
		{"JSON with something behind", event("1", inBase64(`[1]}x`)), event("1", `,"data":[1]`)},
		{"empty data", event("1", `,"datacontenttype":"text/plain","data":""`), event("1", `,"datacontenttype":"text/plain"`)},
		{"extensions", event("1", `,"a":"x","b":42,"c":true,"d":null,"e":[1, 2],"f":{"x":1},"g":-0`),
			event("1", `,"a":"x","b":"42","c":"true","d":"null","e":"[1,2]","f":"{\"x\":1}","g":"0"`)},
		{"optional attributes", event("1", `,"subject":"","dataschema":"/d","time":"2026-01-02T03:04:05.123456789+05:30"`),
			event("1", `,"subject":"","dataschema":"/d","time":"2026-01-02T03:04:05.123456789+05:30"`)},
		{"a time without seconds", event("1", `,"time":"2026-01-02t03:04z"`), event("1", `,"time":"2026-01-02T03:04:00Z"`)},
		{"a time with zeros", event("1", `,"time":"2026-01-02T03:04:05.120+01"`), event("1", `,"time":"2026-01-02T03:04:05.12+01:00"`)},
		{"numbers", event("1", `,"data":[1E2,1e22,10000000.0,0.0001,-0,-0.0,1e400,123456789012345678901234567890]`),
			event("1", `,"datacontenttype":"application/json","data":[100.0,1.0E22,1.0E7,1.0E-4,0,-0.0,"Infinity",123456789012345678901234567890]`)},
		{"members within data in Base64", event("1", inBase64(`1,"type":"evil"`)), strings.Replace(event("1", `,"data":1`), `"t"`, `"evil"`, 1)},
		{"997 deep", event("1", `,"data":`, nested(997)), event("1", `,"datacontenttype":"application/json","data":`, nested(997))},
		{"a mark of the order of bytes", "\ufeff" + event(""), event("")},
		{"an encoding that 1.0 has not", event("1", `,"datacontentencoding":"base64","data":"eA=="`),
			event("1", `,"datacontenttype":"application/json","data":"eA=="`)},
		{"null attributes", event("1", `,"subject":null,"time":null`), event("1")},
		{"0.3", version03(event("1", `,"schemaurl":"/d","datacontentencoding":"base64","datacontenttype":"text/plain","data":"eA=="`)),
			event("1", `,"schemaurl":"/d","datacontenttype":"text/plain","data_base64":"eA=="`)},
		{"trailing text", event("1") + "x", event("1")},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, next.Options{}, func(m *mesh) {
				m.want("POST", "/events/publish?topic=T", c.in, `202 {"status":"accepted"}`)
				m.subscribe("c", "T", "LOAD_BALANCE")
				pass(pumped)
				all := m.poll("c")
				if len(all) != 1 {
					t.Fatalf("got %d events, want 1", len(all))
				}
				var got, want any
				if err := json.Unmarshal(all[0].Event, &got); err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal([]byte(c.want), &want); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("got %s, want %s", all[0].Event, c.want)
				}
				if strings.Contains(string(all[0].Event), ", ") || strings.ContainsRune(string(all[0].Event), '😀') {
					t.Errorf("got %s, want it without white space", all[0].Event)
				}
			})
		})
	}
}

func TestEventsThatAreRefused(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		for _, in := range []string{
			"null", "[]", `"x"`, "{", "{}",
			`{"specversion":"1.0","source":"/s","type":"t"}`,
			`{"specversion":"1.0","id":"1","type":"t"}`,
			`{"specversion":"1.0","id":"1","source":"/s"}`,
			`{"specversion":"1.0","id":1,"source":"/s","type":"t"}`,
			`{"specversion":"1.0","id":null,"source":"/s","type":"t"}`,
			`{"specversion":"2.0","id":"1","source":"/s","type":"t"}`,
			`{"id":"1","source":"/s","type":"t"}`,
			`{"specversion":"1.0","id":"1","source":" ","type":"t"}`,
			event("1", `,"a":1.5`), event("1", `,"a":3000000000`), event("1", `,"a":1e2`),
			event("1", `,"A":"x"`), event("1", `,"a-b":"x"`),
			event("1", `,"time":"yesterday"`), event("1", `,"time":"2026-01-02T03:04:60Z"`), event("1", `,"time":"2026-01-02T03:04:05.1234567890Z"`),
			event("1", `,"time":"2026-01-02T03:04.5Z"`), event("1", `,"time":"2026-01-02T03:04:05Z:00"`), event("1", `,"time":"2026-01-02T03:04:05+19:00"`),
			event("1", `,"data":`, nested(1000)), event("1", `,"datacontenttype":"application/vnd.x+json","data":{}`),
			event("1", `,"dataschema":"%"`), event("1", `,"subject":1`),
			event("1", `,"data":"x","data_base64":"eA=="`), event("1", `,"data_base64":"?"`), event("1", `,"data_base64":1`),
			event("1", `,"datacontenttype":"text/plain","data":{}`),
			event("\xff"),
		} {
			m.want("POST", "/events/publish?topic=T", in, `400 {"error":"invalid CloudEvent: CloudEvents → EventMeshFrame conversion failed"}`)
			got := m.do("POST", "/events/publish-batch?topic=T", "["+event("good")+","+in+"]")
			if !strings.HasPrefix(got, `500 {"error":"batch publish failed: `) {
				t.Errorf("batch with %s: got %s", in, got)
			}
		}
		if got := m.s.Published("T"); len(got) != 0 {
			t.Errorf("%d events are stored, want none", len(got))
		}
	})
}

func TestDataThatIsNoJSONEndsPolls(t *testing.T) {
	for name, poison := range map[string]string{
		"without a type": event("poison", inBase64("{")),
		"as JSON":        event("poison", `,"datacontenttype":"application/json"`, inBase64("\xff")),
		"998 deep":       event("poison", `,"data":`, nested(998)),
		"no URI":         version03(event("poison", `,"dataschema":"%"`)),
	} {
		t.Run(name, func(t *testing.T) {
			play(t, next.Options{}, func(m *mesh) {
				m.subscribe("c", "T", "LOAD_BALANCE")
				m.publish("T", "1")
				m.want("POST", "/events/publish?topic=T", poison, `202 {"status":"accepted"}`)
				m.publish("T", "2")
				pass(pumped)
				m.want("GET", "/events/poll?clientId=c", "", closed)
				m.wantPolled("c", "") // the whole batch is out of the buffer
				pass(31 * time.Second)
				m.ack(m.one())
				m.want("GET", "/events/poll?clientId=c&max=1", "", closed)
				m.ack(m.one())
				pass(3 * time.Minute)
				if got := m.s.Published("T_DLQ"); len(got) != 1 || got[0].GetId() != "poison" {
					t.Errorf("got dead letters %v, want the poison", got)
				}
			})
		})
	}
}

func TestEventsThatCannotBeWrittenDestroyTheirBatch(t *testing.T) {
	var many strings.Builder
	for i := range 61 {
		fmt.Fprintf(&many, `,"a%d":""`, i)
	}
	for name, poison := range map[string]string{
		"value":      event("poison", `,"a":"`, strings.Repeat("x", 4097), `"`),
		"attributes": event("poison", many.String()),
		"name":       event("poison", `,"`, strings.Repeat("x", 257), `":""`),
		"data":       event("poison", `,"data":"`, strings.Repeat("x", 8<<20), `"`),
	} {
		t.Run(name, func(t *testing.T) {
			play(t, next.Options{MaxContentLength: -1}, func(m *mesh) {
				m.subscribe("c", "T", "LOAD_BALANCE")
				m.publish("T", "1")
				m.want("POST", "/events/publish?topic=T", poison, `202 {"status":"accepted"}`)
				m.publish("T", "2", "3")
				pass(pumped)
				m.publish("T", "4")
				pass(pumped)
				m.wantPolled("c", "1 4")
				if got := m.lost(); got != "poison 2 3" {
					t.Errorf("lost are %s, want the poison and what was behind it", got)
				}
			})
			play(t, next.Options{MaxContentLength: -1, Storage: next.Holding}, func(m *mesh) {
				if got := m.do("POST", "/events/publish?topic=T", poison); !strings.HasPrefix(got, `500 {"error":"publish failed: `) {
					t.Errorf("got %s, want 500", got)
				}
			})
		})
	}
	play(t, next.Options{MaxAttributes: -1, MaxAttributeSize: -1}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		m.want("POST", "/events/publish?topic=T", event("1", many.String(), `,"long":"`, strings.Repeat("x", 4097), `"`), `202 {"status":"accepted"}`)
		pass(pumped)
		m.wantPolled("c", "1")
	})
}

func TestEventsExpire(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) { // whose clock starts with the year 2000
		for id, members := range map[string]string{
			"over":    `,"time":"1999-12-31T23:59:59Z","emttl":"999"`,
			"living":  `,"time":"1999-12-31T23:59:59Z","emttl":5000`,
			"no time": `,"emttl":"1"`,
			"no ttl":  `,"time":"1999-12-31T23:59:59Z","emttl":"soon"`,
		} {
			m.want("POST", "/events/publish?topic="+strings.Fields(id)[0], event(id, members), `202 {"status":"accepted"}`)
		}
		for _, topic := range []string{"over", "living", "no"} {
			m.subscribe("c"+topic, topic, "LOAD_BALANCE")
		}
		pass(pumped)
		m.wantPolled("cover", "")
		m.wantPolled("cliving", "living")
		if got := m.poll("cno"); len(got) != 2 {
			t.Errorf("got %s, want both", ids(got))
		}
	})
}
