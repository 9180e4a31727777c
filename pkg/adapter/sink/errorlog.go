package sink

import (
	"log"
	"strings"

	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
)

// connectionLog writes what the HTTP server has to say of connections. Each line differs in the sender's address: as a
// field it lets the logger sample the lines, so that broken connections cannot flood the log.
type connectionLog struct{ logger *zap.SugaredLogger }

func newConnectionLog(logger *zap.SugaredLogger) *log.Logger {
	return log.New(connectionLog{adapter.Sampled(logger)}, "", 0)
}

func (l connectionLog) Write(line []byte) (int, error) {
	reason, _, _ := strings.Cut(strings.TrimSpace(string(line)), "\n") // without a stack trace, which may hold data
	l.logger.Infow("a connection failed", "reason", reason)
	return len(line), nil
}
