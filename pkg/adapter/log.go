package adapter

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Sampled returns a logger for failures that repeat: of each message it writes one a second.
func Sampled(logger *zap.SugaredLogger) *zap.SugaredLogger {
	return logger.Desugar().WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Second, 1, 0)
	})).Sugar()
}
