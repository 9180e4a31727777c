package eventmesh

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
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
	``: false, `1`: false, `"a"`: false, `null`: false,
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
