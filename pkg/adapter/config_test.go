package adapter

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secret is a value that no error may hold.
const secret = "hunter2"

// color is a type that parses itself, and keeps what it got to itself.
type color string

func (c *color) Decode(value string) error {
	if value != "red" && value != "blue" {
		return errors.New("neither red nor blue")
	}
	*c = color(value)
	return nil
}

// Base is exported, since nothing can be set in an embedded struct that is not.
type Base struct {
	Inherited string `envconfig:"T_INHERITED" default:"yes" desc:"of an embedded struct" want:"any text"`
}

type settings struct {
	Base

	Name     string        `envconfig:"T_NAME" required:"true" desc:"a name" want:"any text"`
	Count    int           `envconfig:"T_COUNT" default:"3" min:"1" desc:"a number" want:"a number above 0"`
	Size     int64         `envconfig:"T_SIZE" default:"10" min:"-1" desc:"a size" want:"a number, -1 or above"`
	Wait     time.Duration `envconfig:"T_WAIT" default:"1s" min:"10ms" desc:"a duration" want:"a duration such as 1s"`
	Color    color         `envconfig:"T_COLOR" desc:"a color" want:"red or blue"`
	Required color         `envconfig:"T_REQUIRED" required:"true" desc:"a color that has to be" want:"red or blue"`
	Foreign  int           `envconfig:"T_FOREIGN"`

	validate func() error
}

func (s *settings) Validate() error {
	if s.validate != nil {
		return s.validate()
	}
	return nil
}

// plain is a configuration without rules of its own.
type plain struct {
	Name string `envconfig:"T_NAME" desc:"a name" want:"any text"`
}

// setenv sets variables given as NAME=value.
func setenv(t *testing.T, environment ...string) {
	t.Helper()
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
}

func TestLoad(t *testing.T) {
	setenv(t, "T_NAME=a", "T_COUNT=1", "T_SIZE=-1", "T_WAIT=10ms", "T_COLOR=red", "T_REQUIRED=blue", "T_FOREIGN=7")
	var got settings
	if err := Load(&got); err != nil {
		t.Fatal(err)
	}
	got.validate = nil
	if got.Name != "a" || got.Count != 1 || got.Size != -1 || got.Wait != 10*time.Millisecond || got.Color != "red" ||
		got.Required != "blue" || got.Foreign != 7 || got.Inherited != "yes" {
		t.Errorf("got %+v", got)
	}
}

func TestLoadDefaults(t *testing.T) {
	setenv(t, "T_NAME=a", "T_REQUIRED=red", "T_COUNT=", "T_WAIT=", "T_COLOR=blue") // empty stands for the default
	var got settings
	if err := Load(&got); err != nil {
		t.Fatal(err)
	}
	if got.Count != 3 || got.Size != 10 || got.Wait != time.Second || got.Color != "blue" || got.Inherited != "yes" {
		t.Errorf("got %+v", got)
	}
	if err := Load(&plain{}); err != nil {
		t.Errorf("without a Validator: got %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct {
		name        string
		environment []string
		want        string
	}{
		{"required text missing", []string{"T_REQUIRED=red"}, "T_NAME is missing: want any text"},
		{"required text empty", []string{"T_NAME=", "T_REQUIRED=red"}, "T_NAME is missing: want any text"},
		{"required type missing", []string{"T_NAME=a"}, "T_REQUIRED is missing: want red or blue"},
		{"required type empty", []string{"T_NAME=a", "T_REQUIRED="}, "T_REQUIRED is missing: want red or blue"},
		{"both missing, the first is told", nil, "T_NAME is missing: want any text"},
		{"int", []string{"T_NAME=a", "T_REQUIRED=red", "T_COUNT=abc"}, `T_COUNT is "abc": want a number above 0`},
		{"int below min", []string{"T_NAME=a", "T_REQUIRED=red", "T_COUNT=0"}, `T_COUNT is "0": want a number above 0`},
		{"int64", []string{"T_NAME=a", "T_REQUIRED=red", "T_SIZE=1.5"}, `T_SIZE is "1.5": want a number, -1 or above`},
		{"int64 too large", []string{"T_NAME=a", "T_REQUIRED=red", "T_SIZE=9223372036854775808"}, `T_SIZE is "9223372036854775808": want a number, -1 or above`},
		{"int64 below min", []string{"T_NAME=a", "T_REQUIRED=red", "T_SIZE=-2"}, `T_SIZE is "-2": want a number, -1 or above`},
		{"duration", []string{"T_NAME=a", "T_REQUIRED=red", "T_WAIT=soon"}, `T_WAIT is "soon": want a duration such as 1s`},
		{"duration without unit", []string{"T_NAME=a", "T_REQUIRED=red", "T_WAIT=10"}, `T_WAIT is "10": want a duration such as 1s`},
		{"duration below min", []string{"T_NAME=a", "T_REQUIRED=red", "T_WAIT=9ms"}, `T_WAIT is "9ms": want a duration such as 1s`},
		{"type of its own", []string{"T_NAME=a", "T_REQUIRED=red", "T_COLOR=" + secret}, "T_COLOR: neither red nor blue"},
		{"without a description", []string{"T_NAME=a", "T_REQUIRED=red", "T_FOREIGN=x"}, "T_FOREIGN: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			setenv(t, test.environment...)
			err := Load(&settings{validate: func() error { return errors.New("validated too early") }})
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Fatalf("got %v, want %s", err, test.want)
			}
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q holds a secret, or more than a line", err)
			}
		})
	}
}

func TestLoadValidates(t *testing.T) {
	setenv(t, "T_NAME=a", "T_REQUIRED=red")
	want := errors.New("T_NAME and T_COLOR do not go together")
	s := &settings{}
	s.validate = func() error {
		if s.Name != "a" || s.Count != 3 {
			t.Errorf("validated before it was filled: %+v", s)
		}
		return want
	}
	if err := Load(s); !errors.Is(err, want) {
		t.Errorf("got %v, want the Validator's error", err)
	}
}

func TestLoadNeedsAPointerToAStruct(t *testing.T) {
	number := 1
	defer func() {
		if recover() == nil {
			t.Error("a configuration that is no struct was taken")
		}
	}()
	_ = Load(&number)
}

func TestVariables(t *testing.T) {
	var got []string
	for _, v := range Variables(&settings{}) {
		got = append(got, v.Name)
		if v.Description == "" || v.Want == "" {
			t.Errorf("%s: got description %q, want %q", v.Name, v.Description, v.Want)
		}
		if required := v.Name == "T_NAME" || v.Name == "T_REQUIRED"; v.Required != required {
			t.Errorf("%s: got required %t, want %t", v.Name, v.Required, required)
		}
		if v.Name == "T_WAIT" && v.Default != "1s" {
			t.Errorf("T_WAIT: got default %q, want 1s", v.Default)
		}
	}
	want := "T_INHERITED T_NAME T_COUNT T_SIZE T_WAIT T_COLOR T_REQUIRED"
	if strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, " "), want)
	}
}

func TestUsage(t *testing.T) {
	got := Usage("prog", "does a thing.", &settings{})
	for _, want := range []string{
		"prog does a thing.\n\nIt is configured by environment variables:\n\n  T_INHERITED (default yes)\n",
		"  T_NAME (required)\n        a name; any text\n",
		"  T_COLOR\n        a color; red or blue\n",
		"  T_WAIT (default 1s)\n        a duration; a duration such as 1s\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant in it\n%s", got, want)
		}
	}
	if strings.Contains(got, "T_FOREIGN") {
		t.Error("a variable without a description is listed")
	}
}

func TestInvalid(t *testing.T) {
	if got, want := Invalid("T_NAME", "a \"b\"\n", "a name").Error(), `T_NAME is "a \"b\"\n": want a name`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
