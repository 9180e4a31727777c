package line

import (
	"errors"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
)

func TestFirst(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"as long as may be", "12345678", "12345678"},
		{"longer", "123456789", "12345678…"},
		{"blanks around", " \n a b \r\n", "a b"},
		{"several lines", "1234567\r\nmore", "1234567"},
		{"cut within a character", "1234567ü", "1234567…"},
		{"cut behind a blank", "1234567 9", "1234567…"},
		{"no UTF-8", "a\xffb", "ab"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := First(test.text, 8, "…"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestSorted(t *testing.T) {
	err := event.ValidationError{"type": errors.New("none"), "id": errors.New("none"), "source": errors.New("none")}
	if got := Sorted(err); got != "id: none; source: none; type: none" {
		t.Errorf("got %q", got)
	}
}
