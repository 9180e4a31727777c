package adapter

import (
	"io"
	"log"
	"log/slog"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/grpclog"
	"k8s.io/klog/v2"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/line"
)

// Sampled returns a logger for failures that repeat: of each message it writes one a second.
func Sampled(logger *zap.SugaredLogger) *zap.SugaredLogger {
	return logger.Desugar().WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Second, 1, 0)
	})).Sugar()
}

// captureLogs makes JSON of what libraries write to the process's log past its logger: net/http, gRPC, OpenTelemetry and client-go.
func captureLogs(logger *zap.SugaredLogger) {
	lines := libraryLog{Sampled(logger)}
	log.SetFlags(0)
	log.SetOutput(lines)
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, lines))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { _, _ = io.WriteString(lines, err.Error()) }))
	klog.SetSlogLogger(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
}

// longestLine is how much of a library's line is told, in bytes.
const longestLine = 500

// libraryLog writes lines of libraries. Each may differ from all others: as a field it lets the logger sample them.
type libraryLog struct{ logger *zap.SugaredLogger }

func (l libraryLog) Write(text []byte) (int, error) {
	said, _, _ := strings.Cut(string(text), " starting with ") // behind it net/http has what a server sent without being asked
	l.logger.Infow("a library says", "line", line.First(said, longestLine, ""))
	return len(text), nil
}
