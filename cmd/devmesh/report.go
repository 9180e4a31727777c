package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Results of a check.
const (
	resultOK      = "ok"
	resultNote    = "note"
	resultFailed  = "failed"
	resultUnknown = "unknown"
)

// check is what was found out, and what to change.
type check struct {
	Check  string `json:"check"`
	Result string `json:"result"`
	Says   string `json:"says"`
	Advice string `json:"advice,omitempty"`
}

// report prints checks as they are made, a line for each, and another one for the advice.
type report struct {
	out          io.Writer
	json         bool
	made, failed int
	err          error // of printing
}

func (r *report) ok(name, says string, args ...any) {
	r.made++
	r.add(check{Check: name, Result: resultOK, Says: fmt.Sprintf(says, args...)})
}

// note tells of what is as it is, and may not be as it should.
func (r *report) note(name, says, advice string) {
	r.made++
	r.add(check{name, resultNote, says, advice})
}

func (r *report) fail(name string, err error, advice string) {
	r.made++
	r.failed++
	r.add(check{name, resultFailed, err.Error(), advice})
}

// unknown tells what was not checked, since nobody can or nobody has asked.
func (r *report) unknown(says, advice string) {
	r.add(check{"not told", resultUnknown, says, advice})
}

func (r *report) add(c check) {
	if r.err != nil {
		return
	}
	if r.json {
		encoder := json.NewEncoder(r.out)
		encoder.SetEscapeHTML(false)
		r.err = encoder.Encode(c)
		return
	}
	const columns = "%-7s  %-11s  %s\n"
	text := fmt.Sprintf(columns, c.Result, c.Check, strings.ReplaceAll(c.Says, "\n", " "))
	if c.Advice != "" {
		text += fmt.Sprintf(columns, "", "", "→ "+c.Advice)
	}
	_, r.err = io.WriteString(r.out, text)
}
