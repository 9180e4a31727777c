package wire

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
)

// surviving says which JSON texts EventMesh returns byte for byte.
var surviving = map[string]bool{
	`{}`: true, `[]`: true, `{"a":1}`: true, `[[],{"a":{}}]`: true, `[true,false,null]`: true,
	`{"a":1,"b":{"a":1}}`: true, `{"a":1,"a":2}`: false, `{"":1,"":2}`: false,
	`[0,-1,123456789012345678]`: true, `[1234567890123456789]`: false, `[-123456789012345678]`: false,
	`[-0]`: false, `[01]`: false, `[-]`: false, `[1.5]`: false, `[1e3]`: false, `[1E3]`: false,
	`["\"\\\b\f\n\r\t"]`: true, `["\u0041"]`: false, `["\/"]`: false, `["\x"]`: false, `["\\u0041"]`: true,
	`["ü"]`: true, `["` + "\u2028\uffff" + `"]`: true, `["😀"]`: false, "[\"\xff\"]": false, "[\"\n\"]": false,
	`[ 1]`: false, `{"a": 1}`: false, "[1]\n": false, `[1`: false, `[1,]`: false, `[,]`: false, `{"a"}`: false, `{1:1}`: false,
	`[nul]`: false, `[nulls]`: false, `["a]`: false, `["a\`: false, `{"a":1]`: false, `[]]`: false,
	``: false, `1`: true, `"a"`: true, `true`: true, `"😀"`: false, `1.5`: false, `null`: true, ` null`: false, ` 1`: false,
	`{"` + strings.Repeat("a", maxName-2) + `":1}`: true, `{"` + strings.Repeat("a", maxName-1) + `":1}`: false,
	strings.Repeat("[", maxNesting) + strings.Repeat("]", maxNesting):     true,
	strings.Repeat("[", maxNesting+2) + strings.Repeat("]", maxNesting+2): false,
}

func TestSurvivesParsing(t *testing.T) {
	for text, want := range surviving {
		if got := survivesParsing([]byte(text)); got != want {
			t.Errorf("of %.40q got %v, want %v", text, got, want)
		}
	}
}

// FuzzSurvivesParsing says of nothing that it survives but of compact JSON.
func FuzzSurvivesParsing(f *testing.F) {
	for text := range surviving {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !survivesParsing(text) {
			return
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, text); err != nil || !bytes.Equal(compact.Bytes(), text) {
			t.Errorf("%q is compact JSON: %v", text, err)
		}
	})
}

// jsonEvent returns an event with JSON data.
func jsonEvent(text string) event.Event {
	e := event.New()
	e.SetID("1")
	e.SetSource("/s")
	e.SetType("t")
	e.SetDataContentType(event.ApplicationJSON)
	e.DataEncoded = []byte(text)
	return e
}

// encoded returns the event as it travels to TCP subscribers.
func encoded(t *testing.T, e event.Event) event.Event {
	t.Helper()
	wire, err := Encode(e, "orders", JSONForm)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

// decoded returns the data that a source delivers.
func decoded(t *testing.T, wire event.Event) string {
	t.Helper()
	e, _, err := Decode(wire)
	if err != nil {
		t.Fatal(err)
	}
	if e.DataContentType() != event.ApplicationJSON || e.Extensions() != nil {
		t.Errorf("got content type %q and extensions %v", e.DataContentType(), e.Extensions())
	}
	return string(e.DataEncoded)
}

// TestJSONTravelsAsJSON however it is spelled: subscribers that do not use this package get the value, ours the text.
func TestJSONTravelsAsJSON(t *testing.T) {
	for _, text := range []string{
		`{"a": 1}`, "{\n  \"a\": [1, 2.50, -0, 1e3, 1E+2, 0.0001, 123456789012345678901234567890],\r\n\t\"b\": null\n}\n", `{"a":1.50}`, ` [ ] `,
		`1`, ` 1 `, `-0.0`, `1.50`, `"x"`, ` "x"`, `"\u0041\/\u00fc"`, `"😀"`, `"\ud83d\ude00"`, `"\uD83D\uDE00 \\ud800"`, `true `, ` false`, `null`, " null\n",
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2,"b":{"a":1}}`, "\"\\u0000\\u2028\u2028\"", `["\u001F\u001f"]`,
		strings.Repeat("[ ", maxNesting) + strings.Repeat("]", maxNesting), `[` + strings.Repeat(`1.50, `, 20_000) + `1]`,
	} {
		wire := encoded(t, jsonEvent(text))
		if got := wire.Extensions()[markData]; got != dataJSON || !sameJSON(wire.DataEncoded, []byte(text)) {
			t.Errorf("%.100q travels as %v: %.100q", text, got, wire.DataEncoded)
			continue
		}
		var value any
		if err := json.Unmarshal(wire.DataEncoded, &value); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		for _, came := range []string{text, string(again)} {
			if survivesParsing([]byte(text)) && came != text {
				continue
			}
			wire.DataEncoded = []byte(came)
			if got := decoded(t, wire); got != text {
				t.Errorf("of %.100q came %.100q", text, got)
			}
		}
	}
}

// TestWhatTravelsAsText is JSON that EventMesh takes for another value, or refuses, or has no room for; and what is no JSON.
func TestWhatTravelsAsText(t *testing.T) {
	digits := make([]byte, 60_000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range digits {
		digits[i] = byte('1' + random.IntN(9))
	}
	full := jsonEvent(`{"a": 1}`)
	full.SetExtension("large", strings.Repeat("x", maxAttributes-othersAttributes-100))
	for name, e := range map[string]event.Event{
		"no JSON": jsonEvent(`{"a":`), "two values": jsonEvent(`{} {}`), "blanks": jsonEvent(" "),
		"a number beyond a double's": jsonEvent(`[1e400]`), "a long number": jsonEvent(strings.Repeat("1", maxNumber+1)),
		"half a pair": jsonEvent(`["\ud800"]`), "the other half": jsonEvent(`"\udc00"`), "halves in the wrong order": jsonEvent(`"\ude00\ud83d"`), "half a pair before another": jsonEvent(`"\ud800\ud83d\ude00"`),
		"half a pair, escaped": jsonEvent(`"\ud800\\udc00"`), "half a name": jsonEvent(`{"\ud800":1}`), "a long name": jsonEvent(`{"` + strings.Repeat("a", maxName) + `" : 1}`),
		"deep nesting":                  jsonEvent(strings.Repeat("[ ", maxNesting+1) + strings.Repeat("]", maxNesting+1)),
		"a long text":                   jsonEvent(`[` + strings.Repeat(" ", maxText) + `]`),
		"digits that take much room":    jsonEvent(`["` + string(digits) + `", 1]`),
		"attributes that leave no room": full,
	} {
		wire := encoded(t, e)
		if got := wire.Extensions()[markData]; got != dataText || wire.Extensions()[markJSON] != nil {
			t.Errorf("%s travels as %v, with %.40q", name, got, wire.Extensions()[markJSON])
		}
		var text string
		if err := json.Unmarshal(wire.DataEncoded, &text); err != nil || text != string(e.DataEncoded) {
			t.Errorf("%s: the string is %.100q, %v", name, text, err)
		}
		if got, _, err := Decode(wire); err != nil || !bytes.Equal(got.DataEncoded, e.DataEncoded) {
			t.Errorf("%s: of %.100q came %.100q, %v", name, e.DataEncoded, got.DataEncoded, err)
		}
	}
}

// TestDataThatSomebodyChanged counts, and not the text of what it was before.
func TestDataThatSomebodyChanged(t *testing.T) {
	for name, change := range map[string]func(*event.Event){
		"other data":            func(e *event.Event) { e.DataEncoded = []byte(`{"a":2}`) },
		"no data of the text":   func(e *event.Event) { e.DataEncoded = []byte(`no JSON`) },
		"another text":          func(e *event.Event) { e.SetExtension(markJSON, deflate([]byte(`{"a": 2}`))) },
		"a text that is long":   func(e *event.Event) { e.SetExtension(markJSON, deflate(bytes.Repeat([]byte(" "), 64<<20))) },
		"a text that is none":   func(e *event.Event) { e.SetExtension(markJSON, deflate(nil)) },
		"a text without base64": func(e *event.Event) { e.SetExtension(markJSON, "{}") },
		"a text that is cut":    func(e *event.Event) { e.SetExtension(markJSON, deflate([]byte(`{"a": 1}`))[:4]) },
		"an empty text":         func(e *event.Event) { e.SetExtension(markJSON, "") },
	} {
		wire := encoded(t, jsonEvent(`{"a": 1}`))
		wire.DataEncoded = []byte(`{"a":1}`)
		change(&wire)
		if got := decoded(t, wire); got != string(wire.DataEncoded) {
			t.Errorf("%s: got %q, want %q", name, got, wire.DataEncoded)
		}
	}
}

// TestEventsOfOlderSinks had JSON as a string where EventMesh would have spelled it otherwise.
func TestEventsOfOlderSinks(t *testing.T) {
	wire := encoded(t, jsonEvent(`{"a": 1}`))
	wire.DataEncoded = []byte(`"{\"a\": 1}"`)
	wire.SetExtension(markData, dataText)
	wire.SetExtension(markJSON, nil)
	if got := decoded(t, wire); got != `{"a": 1}` {
		t.Errorf("got %s", got)
	}
}

// FuzzJSONTravels finds no text that does not come back, be the value spelled as it was or as Go does, nor one that travels as other JSON.
func FuzzJSONTravels(f *testing.F) {
	for text := range surviving {
		f.Add([]byte(text))
	}
	f.Add([]byte(`{"a": 1.50, "b":"\ud83d\ude00", "a":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e := jsonEvent(string(text))
		wire := encoded(t, e)
		mark := wire.Extensions()[markData]
		check := func(came []byte) {
			wire.DataEncoded = came
			got, _, err := Decode(wire)
			if err != nil || !bytes.Equal(got.DataEncoded, text) || !reflect.DeepEqual(got.Extensions(), e.Extensions()) {
				t.Errorf("of %q came %q, %v, with %v, by %q", text, got.DataEncoded, err, got.Extensions(), came)
			}
		}
		check(wire.DataEncoded)
		if survivesParsing(text) && (mark != dataJSON || wire.Extensions()[markJSON] != nil || !bytes.Equal(wire.DataEncoded, text)) {
			t.Errorf("%q survives, and travels as %v: %q", text, mark, wire.DataEncoded)
		}
		if mark != dataJSON {
			return
		}
		var value any
		if err := json.Unmarshal(wire.DataEncoded, &value); err != nil {
			t.Fatalf("%q travels as JSON: %v", text, err)
		}
		if again, err := json.Marshal(value); err == nil && wire.Extensions()[markJSON] != nil {
			check(again)
		}
	})
}

// BenchmarkEncodeJSON is what JSON of 1 KB costs that EventMesh spells as it is, and that it does not.
func BenchmarkEncodeJSON(b *testing.B) {
	compact := `{"text":"` + strings.Repeat("lorem ipsum ", 40) + `","items":[` + strings.Repeat(`{"id":4711,"name":"a"},`, 20) + `{}]}`
	for name, text := range map[string]string{"compact": compact, "with blanks": strings.ReplaceAll(compact, `":`, `": `)} {
		e := jsonEvent(text)
		b.Run("encode "+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Encode(e, "orders", JSONForm); err != nil {
					b.Fatal(err)
				}
			}
		})
		wire, err := Encode(e, "orders", JSONForm)
		if err != nil {
			b.Fatal(err)
		}
		wire.DataEncoded = []byte(compact)
		b.Run("decode "+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Decode(wire); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
