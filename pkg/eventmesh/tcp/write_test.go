package tcp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// slowConn takes each write when the test lets it, and fails at the one that is told.
type slowConn struct {
	net.Conn
	writes  chan []byte
	results chan error
}

func newSlowConn() *slowConn {
	return &slowConn{writes: make(chan []byte), results: make(chan error)}
}

func (*slowConn) SetWriteDeadline(time.Time) error { return nil }
func (*slowConn) Close() error                     { return nil }

func (c *slowConn) Write(b []byte) (int, error) {
	c.writes <- bytes.Clone(b)
	return len(b), <-c.results
}

// sequences returns the sequence numbers of the frames in a write, in order.
func sequences(t *testing.T, written []byte) (all []string) {
	t.Helper()
	reader := bufio.NewReader(bytes.NewReader(written))
	for {
		f, err := frame.Read(reader)
		if errors.Is(err, io.EOF) {
			slices.Sort(all)
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f.Header.Sequence)
	}
}

func TestWritesAtTheSameTimeAreOne(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		bodies []int // of those that come while the first is written
		result error
		want   [][]string // of the writes after the first
	}{
		"small":                 {[]int{0, 100, 0}, nil, [][]string{{"1", "2", "3"}}},
		"after one that fills":  {[]int{fullGroup, 0, 0}, nil, [][]string{{"1"}, {"2", "3"}}},
		"one that fills":        {[]int{0, fullGroup, 0}, nil, [][]string{{"1", "2"}, {"3"}}},
		"one that is too large": {[]int{0, frame.MaxSize, 0}, nil, [][]string{{"1", "3"}}},
		"that fail":             {[]int{0, 0}, broken, [][]string{{"1", "2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := newSlowConn()
				c := newConnection(conn)
				results := make([]error, len(test.bodies)+1)
				send := func(i, size int) {
					header := frame.Header{Command: frame.AsyncMessageToServer, Sequence: strconv.Itoa(i)}
					go func() { results[i] = c.send(frame.Frame{Header: header, Body: make([]byte, size)}) }()
					synctest.Wait()
				}
				send(0, 0)
				if first := sequences(t, <-conn.writes); !slices.Equal(first, []string{"0"}) {
					t.Fatalf("the first write has %v", first)
				}
				for i, size := range test.bodies {
					send(i+1, size)
				}
				conn.results <- nil
				for _, want := range test.want {
					if got := sequences(t, <-conn.writes); !slices.Equal(got, want) {
						t.Errorf("a write has %v, want %v", got, want)
					}
					conn.results <- test.result
				}
				synctest.Wait()
				for i, err := range results {
					switch {
					case i == 0:
						if err != nil {
							t.Error(err)
						}
					case test.bodies[i-1] == frame.MaxSize:
						if !errors.Is(err, eventmesh.ErrTooLarge) {
							t.Errorf("frame %d: got %v, want that it is too large", i, err)
						}
					case !errors.Is(err, test.result) || (test.result != nil) != errors.Is(err, eventmesh.ErrNotConnected):
						t.Errorf("frame %d: got %v, want %v", i, err, test.result)
					}
				}
			})
		})
	}
}
