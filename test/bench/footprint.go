//go:build linux

package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/test/bench/stats"
)

// Footprint is what an adapter takes besides the work.
type Footprint struct {
	Program string `json:"program"`
	// Ready is the time from the start of the process until readiness says yes, in milliseconds.
	Ready stats.Spread `json:"readyMilliseconds"`
	// Idle and Buffered are bytes of RAM: ready and without work, and with bufferedEvents events of 1 KB in memory. IdleOwn is what
	// of Idle is the process' own: the rest are pages of the program's file, which the kernel shares and takes back.
	Idle     int64 `json:"idleBytes"`
	IdleOwn  int64 `json:"idleOwnBytes"`
	Buffered int64 `json:"bufferedBytes,omitempty"`
	// Full is the most RAM while the buffer in memory, with its default bounds, fills up because the sink takes nothing, and empties.
	Full int64 `json:"fullBufferBytes,omitempty"`
	// Binary is the program's size as it is in the image, and Compressed what it adds to that.
	Binary     int64 `json:"binaryBytes"`
	Compressed int64 `json:"compressedBytes"`
	// Connections is how many connections were opened for 128 requests in flight or connections, over several rounds, and
	// Goroutines how many each added.
	Connections int64   `json:"connections"`
	Goroutines  float64 `json:"goroutinesPerConnection"`
}

const (
	bufferedEvents   = 100_000
	fullEvents       = 10_000 // the default of EVENTMESH_BUFFER_EVENTS
	fullSize         = 5120   // bytes, with which so many nearly fill the default of EVENTMESH_BUFFER_BYTES, too, as the source counts them
	countConnections = 128
	starts           = 9
)

func (b *bench) footprints() ([]Footprint, error) {
	b.progress("footprint of the source")
	source, err := b.sourceFootprint()
	if err != nil {
		return nil, fmt.Errorf("footprint of the source: %w", err)
	}
	b.progress("footprint of the sink")
	sink, err := b.sinkFootprint()
	if err != nil {
		return nil, fmt.Errorf("footprint of the sink: %w", err)
	}
	return []Footprint{source, sink}, nil
}

// footprint measures starts, and leaves a program running, ready and idle, with so many goroutines.
func (b *bench) footprint(program string, start func() (*adapterProcess, error)) (f Footprint, a *adapterProcess, goroutines int, err error) {
	f.Program = program
	if f.Binary, f.Compressed, err = sizes(b.path(program)); err != nil {
		return f, nil, 0, err
	}
	ready := make([]float64, starts)
	for i := range ready {
		if i > 0 {
			if err := a.stop(); err != nil {
				return f, nil, 0, err
			}
		}
		if a, err = start(); err != nil {
			return f, nil, 0, err
		}
		ready[i] = a.ready
	}
	f.Ready = stats.SpreadOf(ready)
	time.Sleep(time.Second)
	idle, err := a.memory()
	if err != nil {
		return f, nil, 0, err
	}
	f.Idle, f.IdleOwn = idle.now, idle.anonymous
	goroutines, err = a.goroutines()
	return f, a, goroutines, err
}

func (b *bench) sourceFootprint() (Footprint, error) {
	var m *mover
	f, a, goroutines, err := b.footprint("source", func() (a *adapterProcess, err error) {
		m, a, err = b.startSource(memorySource, grpcTransport, countConnections, []string{b.topic("footprint")}, 1024,
			fmt.Sprintf("EVENTMESH_BUFFER_EVENTS=%d", bufferedEvents), "EVENTMESH_BUFFER_BYTES=1073741824", "K_SINK_TIMEOUT=600")
		return a, err
	})
	if err != nil {
		return f, err
	}
	release := m.receiver.hold()
	wait := m.receiver.expect(bufferedEvents)
	feeding := m.feeding
	feeding.Events = bufferedEvents
	if err := b.feeder.call("Feed", feeding, &Nothing{}); err != nil {
		return f, err
	}
	time.Sleep(time.Second)
	buffered, err := m.memory()
	if err != nil {
		return f, err
	}
	f.Buffered = buffered.now
	more, err := a.goroutines()
	if err != nil {
		return f, err
	}
	f.Goroutines = float64(more-goroutines) / countConnections
	release()
	if err := wait(); err != nil {
		return f, err
	}
	for range 5 {
		if err := m.work(10_000); err != nil {
			return f, err
		}
	}
	f.Connections = m.receiver.connections.Load()
	if err := m.stop(); err != nil {
		return f, err
	}
	f.Full, err = b.fullBuffer()
	return f, err
}

func (b *bench) fullBuffer() (peak int64, err error) {
	m, _, err := b.startSource(memorySource, grpcTransport, countConnections, []string{b.topic("full")}, fullSize, "K_SINK_TIMEOUT=600")
	if err != nil {
		return 0, err
	}
	release := m.receiver.hold()
	wait := m.receiver.expect(fullEvents)
	feeding := m.feeding
	feeding.Events = fullEvents
	if err := b.feeder.call("Feed", feeding, &Nothing{}); err != nil {
		return 0, err
	}
	time.Sleep(time.Second)
	release()
	if err := wait(); err != nil {
		return 0, err
	}
	memory, err := m.memory()
	if err != nil {
		return 0, err
	}
	return memory.peak, m.stop()
}

func (b *bench) sinkFootprint() (Footprint, error) {
	topic := b.topic("sink")
	f, a, goroutines, err := b.footprint("sink", func() (*adapterProcess, error) { return b.startSink(grpcTransport, topic) })
	if err != nil {
		return f, err
	}
	l, err := newLoad(a.http+"/topics/"+topic, binaryMode, 1024, countConnections, http.StatusAccepted)
	if err != nil {
		return f, err
	}
	defer l.close()
	if err := l.post(10 * countConnections); err != nil {
		return f, err
	}
	f.Connections = int64(len(l.conns))
	more, err := a.goroutines()
	if err != nil {
		return f, err
	}
	f.Goroutines = float64(more-goroutines) / countConnections
	return f, a.stop()
}

// sizes returns the size of a file, and compressed as quickly as ko does it.
func sizes(path string) (size, compressed int64, err error) {
	file, err := os.Open(path) //nolint:gosec // it was built here
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	reader, writer := io.Pipe()
	go func() {
		z, err := gzip.NewWriterLevel(writer, gzip.BestSpeed)
		if err == nil {
			size, err = io.Copy(z, file)
		}
		if err == nil {
			err = z.Close()
		}
		writer.CloseWithError(err)
	}()
	compressed, err = io.Copy(io.Discard, reader)
	return size, compressed, err
}
