package adapter

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"
)

// Variable is one environment variable of a configuration struct, as its field's tags describe it:
//
//	envconfig  the variable's name
//	default    its value where it is not set
//	required   "true" where it has to be set
//	desc       what it is for
//	want       what values are allowed
//	min        the smallest number or duration
type Variable struct {
	Name, Default, Description, Want string
	Required                         bool

	min   string
	value reflect.Value
}

// Variables lists the variables of the struct that config points to, those of embedded structs first. Fields without a
// description are left out: they are Knative's own, and documented there.
func Variables(config any) []Variable {
	return variables(reflect.ValueOf(config).Elem())
}

func variables(v reflect.Value) []Variable {
	var all []Variable
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous && field.Type.Kind() == reflect.Struct {
			all = append(all, variables(v.Field(i))...)
			continue
		}
		if field.Tag.Get("desc") == "" {
			continue
		}
		all = append(all, Variable{
			Name: field.Tag.Get("envconfig"), Default: field.Tag.Get("default"), Required: field.Tag.Get("required") == "true",
			Description: field.Tag.Get("desc"), Want: field.Tag.Get("want"), min: field.Tag.Get("min"), value: v.Field(i),
		})
	}
	return all
}

// frameworkNames are read by Knative's framework outside its configuration struct.
var frameworkNames = []string{"PROFILING_PORT", "TLS_MIN_VERSION", "TLS_MAX_VERSION", "TLS_CIPHER_SUITES", "TLS_CURVE_PREFERENCES"}

// Names lists the variables that a program with such a configuration reads, those of Knative's framework included.
func Names(config any) []string {
	return append(names(reflect.TypeOf(config).Elem()), frameworkNames...)
}

func names(t reflect.Type) []string {
	var all []string
	for i := range t.NumField() {
		field := t.Field(i)
		if name := field.Tag.Get("envconfig"); name != "" {
			all = append(all, name)
		}
		if field.Anonymous && field.Type.Kind() == reflect.Struct {
			all = append(all, names(field.Type)...)
		}
	}
	return all
}

// Validator is a configuration with rules that tags cannot express.
type Validator interface {
	Validate() error
}

// Load fills the struct that config points to from the environment. The error is one sentence that names the variable, its
// value and what is allowed.
func Load(config any) error {
	known := Variables(config)
	for _, v := range known {
		if value, set := os.LookupEnv(v.Name); set && value == "" && v.Default != "" {
			_ = os.Unsetenv(v.Name) // empty stands for the default, as templates of manifests would have it
		}
	}
	if err := envconfig.Process("", config); err != nil {
		return explain(err, known)
	}
	for _, v := range known {
		if v.Required && os.Getenv(v.Name) == "" {
			return fmt.Errorf("%s is missing: want %s", v.Name, v.Want)
		}
		if below(v.value, v.min) {
			return Invalid(v.Name, os.Getenv(v.Name), v.Want)
		}
	}
	if v, ok := config.(Validator); ok {
		return v.Validate()
	}
	return nil
}

// Invalid is the error for a variable whose value is not allowed. Never give it the value of a secret.
func Invalid(name, value, want string) error {
	return fmt.Errorf("%s is %q: want %s", name, value, want)
}

// ValidPort tells whether a connection to the URL is possible as far as its port goes: it has none, or one of 1 to 65535.
func ValidPort(u *url.URL) bool {
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() == "" || err == nil && n > 0
}

func explain(err error, known []Variable) error {
	var parse *envconfig.ParseError
	if !errors.As(err, &parse) {
		for _, v := range known {
			if v.Required && os.Getenv(v.Name) == "" {
				return fmt.Errorf("%s is missing: want %s", v.Name, v.Want)
			}
		}
		return err
	}
	for _, v := range known {
		if v.Name != parse.KeyName {
			continue
		}
		if v.Required && parse.Value == "" {
			return fmt.Errorf("%s is missing: want %s", v.Name, v.Want)
		}
		if v.value.Type().PkgPath() != "" && v.value.Type() != reflect.TypeFor[time.Duration]() {
			return fmt.Errorf("%s: %w", v.Name, parse.Err) // the type knows better, and what of the value is no secret
		}
		return Invalid(v.Name, parse.Value, v.Want)
	}
	return fmt.Errorf("%s: %w", parse.KeyName, parse.Err)
}

// below compares a number or a duration with the smallest that is allowed.
func below(v reflect.Value, smallest string) bool {
	if smallest == "" || !v.CanInt() {
		return false
	}
	if n, err := strconv.ParseInt(smallest, 10, 64); err == nil {
		return v.Int() < n
	}
	d, err := time.ParseDuration(smallest)
	return err == nil && v.Int() < int64(d)
}

// Usage returns the help text of a program with this configuration.
func Usage(program, purpose string, config any) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n\nIt is configured by environment variables:\n\n", program, purpose)
	for _, v := range Variables(config) {
		fmt.Fprintf(&b, "  %s", v.Name)
		switch {
		case v.Required:
			b.WriteString(" (required)")
		case v.Default != "":
			fmt.Fprintf(&b, " (default %s)", v.Default)
		}
		fmt.Fprintf(&b, "\n        %s; %s\n", v.Description, v.Want)
	}
	b.WriteString("\n--version prints the version.\n")
	return b.String()
}
