package jsontext_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
)

func nested(n int) string {
	return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}"
}

// objects are JSON or nearly; encoding/json tells which.
var objects = []string{
	`{}`, " {\t}\r\n", `{"a":1}`, `{"a":"b","c":"d"}`, "{ \"a\" : \"b\" ,\n \"c\" : { \"d\" : [ ] } }",
	`{"a":true,"b":false,"c":null}`, `{"a":[1,[2,{"b":[]}]],"c":{}}`, `{"a\u0062":"\ud83d\ude00\"\\\/\b\f\n\r\t"}`, `{"":""}`, `{"a":1,"a":2}`,
	`{"a":-0,"b":0.5,"c":1e9,"d":-1.25E-3,"e":10}`, `{"a":"ü☁️😀"}`,
	``, ` `, `{`, `}`, `{}x`, `{}{}`, `[]`, `"a"`, `1`, `null`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,"a":1}`, `{a:1}`, `{"a" 1}`, `{"a":1 "b":2}`, `{"a":1`, `{"a":`,
	`{"a`, `{"a":"b`, `{"a":"b\`, `{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"\u12g4"}`, "{\"a\":\"\n\"}", "{\"a\x00\":1}",
	`{"a":01}`, `{"a":-}`, `{"a":1.}`, `{"a":.5}`, `{"a":1e}`, `{"a":1e+}`, `{"a":+1}`, `{"a":tru}`, `{"a":nulll}`, `{"a":[1,]}`, `{"a":[1`, `{"a":[,1]}`, `{"a":[1 2]}`,
	nested(9_999), nested(10_000), strings.Repeat(`{"a":`, 10_001),
}

// members returns what Members passes.
func members(text []byte) (all map[string]any, err error) {
	all = map[string]any{}
	return all, jsontext.Members(text, func(name, value []byte) error {
		var v any
		if err := json.Unmarshal(value, &v); err != nil {
			return err
		}
		if s, ok := jsontext.String(value); ok {
			v = s
		}
		all[string(name)] = v
		return nil
	})
}

func compare(t *testing.T, text []byte) {
	t.Helper()
	var want map[string]any
	wantErr := json.Unmarshal(text, &want)
	if wantErr == nil && want == nil { // null
		wantErr = jsontext.ErrNoObject
	}
	got, err := members(text)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("of %.200q got %v, encoding/json says %v", text, err, wantErr)
	}
	var number *json.UnmarshalTypeError
	if err != nil {
		if !errors.Is(err, jsontext.ErrNoObject) && !errors.As(err, &number) { // 1e999 is JSON
			t.Fatalf("of %.200q got %v, want ErrNoObject", text, err)
		}
		return
	}
	if utf8.Valid(text) && !reflect.DeepEqual(got, want) { // what is no UTF-8 encoding/json replaces
		t.Fatalf("of %.200q got %v, want %v", text, got, want)
	}
}

func TestMembersAreThoseOfEncodingJSON(t *testing.T) {
	for _, text := range objects {
		compare(t, []byte(text))
	}
}

func FuzzMembers(f *testing.F) {
	for _, text := range objects {
		if len(text) < 1000 {
			f.Add([]byte(text))
		}
	}
	f.Fuzz(compare)
}

// compareElements takes a text for an array.
func compareElements(t *testing.T, text []byte) {
	t.Helper()
	var want []json.RawMessage
	wantErr := json.Unmarshal(text, &want)
	if wantErr == nil && want == nil { // null
		wantErr = jsontext.ErrNoArray
	}
	got := []json.RawMessage{}
	err := jsontext.Elements(text, func(value []byte) error {
		got = append(got, value)
		return nil
	})
	switch {
	case (err == nil) != (wantErr == nil), err != nil && !errors.Is(err, jsontext.ErrNoArray):
		t.Fatalf("of %.200q got %v, encoding/json says %v", text, err, wantErr)
	case err == nil && !reflect.DeepEqual(got, want):
		t.Fatalf("of %.200q got %q, want %q", text, got, want)
	}
}

func TestElementsAreThoseOfEncodingJSON(t *testing.T) {
	for _, text := range objects {
		compareElements(t, []byte(text))
		compareElements(t, []byte("["+text+"]"))
		compareElements(t, []byte(" [ "+text+" , 1.50,\t"+text+"\n] "))
		compareElements(t, []byte("["+text+"] x"))
	}
}

func FuzzElements(f *testing.F) {
	for _, text := range objects {
		if len(text) < 1000 {
			f.Add([]byte("[" + text + "," + text + "]"))
		}
	}
	f.Fuzz(compareElements)
}

func TestMembersEndsAtAnError(t *testing.T) {
	enough, calls := errors.New("enough"), 0
	err := jsontext.Members([]byte(`{"a":1,"b":2,`), func(_, _ []byte) error {
		calls++
		return enough
	})
	if !errors.Is(err, enough) || calls != 1 {
		t.Errorf("got %v after %d calls", err, calls)
	}
}

func TestMembersPassesValuesAsTheyAre(t *testing.T) {
	var got []string
	text := "{\"a\" : [ 1, 2.50 ] ,\"b\\u0063\":\t\"\\u0041\" }"
	if err := jsontext.Members([]byte(text), func(name, value []byte) error {
		got = append(got, string(name), string(value))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "[ 1, 2.50 ]", "bc", `"\u0041"`}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStringIsOfStringsOnly(t *testing.T) {
	for _, value := range []string{"", "1", "null", "{}", "[]", "true"} {
		if s, ok := jsontext.String([]byte(value)); ok {
			t.Errorf("of %s got %q", value, s)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "a", `"\/`, "\x00\x01\x1f\x7f", "\b\f\n\r\t", "ü☁️😀\u2028", "<&>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		encoded := jsontext.AppendString([]byte("x"), s)
		if bytesToo := jsontext.AppendString([]byte("x"), []byte(s)); !bytes.Equal(encoded, bytesToo) {
			t.Fatalf("of %q as bytes got %q, and %q as a string", s, bytesToo, encoded)
		}
		var got string
		if err := json.Unmarshal(encoded[1:], &got); err != nil || got != s && utf8.ValidString(s) {
			t.Fatalf("of %q got %q, which encoding/json reads as %q, %v", s, encoded, got, err)
		}
		if again, ok := jsontext.String(encoded[1:]); !ok || again != s && utf8.ValidString(s) {
			t.Fatalf("of %q got %q, which is %q again", s, encoded, again)
		}
	})
}

// TestStringsOfAllLengths has every byte at every place of a string, which is read eight bytes at a time.
func TestStringsOfAllLengths(t *testing.T) {
	for length := range 20 {
		for place := range length {
			for c := range 256 {
				s := bytes.Repeat([]byte{'x'}, length)
				s[place] = byte(c)
				text := []byte(`{"a":"` + string(s) + `"}`)
				err := jsontext.Members(text, func(_, _ []byte) error { return nil })
				if (err == nil) != json.Valid(text) {
					t.Errorf("%q: got %v", text, err)
				}
			}
		}
	}
}

// TestNestingTakesNoStack: a goroutine would keep it while its event is published.
func TestNestingTakesNoStack(t *testing.T) {
	text := []byte(nested(9_999))
	took := make(chan uint64)
	go func() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := jsontext.Members(text, func(_, _ []byte) error { return nil }); err != nil {
			t.Error(err)
		}
		runtime.ReadMemStats(&after)
		took <- max(after.StackInuse, before.StackInuse) - before.StackInuse
	}()
	if got := <-took; got > 256<<10 {
		t.Errorf("%d bytes of JSON took %d bytes of stack", len(text), got)
	}
}

func TestHasHalf(t *testing.T) {
	for value, want := range map[string]bool{
		`""`: false, `"a"`: false, `"\ud800"`: true, `"\udc00"`: true, `"\ud83d\ude00"`: false, `"\ude00\ud83d"`: true, `"\uD83D\uDE00\ud800"`: true,
		`"\\ud800"`: false, `"\\\ud800"`: true, `"\ud800\n"`: true, `"\ud800x"`: true, `"\ufffd"`: false, `"\u0041\n"`: false, `"\ud83d\u0041"`: true,
	} {
		if got := jsontext.HasHalf([]byte(value)); got != want {
			t.Errorf("%s: got %t, want %t", value, got, want)
		}
	}
}
