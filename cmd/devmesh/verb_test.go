package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string // on stdout for 0, else on stderr
	}{
		{"", 2, "Usage: devmesh VERB"},
		{"--help", 0, "subscribe   print the events"},
		{"help", 0, "Usage: devmesh VERB"},
		{"help publish", 0, "Usage: devmesh publish [flags] [DATA | -]"},
		{"serve --help", 0, "--storage plugin"},
		{"serve --help", 0, "--http host:port"},
		{"serve --help", 0, "--unknown-topics"},
		{"publish --help", 0, "--extension name=value"},
		{"subscribe -h", 0, "(default devmesh)"},
		{"receive --help", 0, "--address host:port"},
		{"send --help", 0, "--timeout time"},
		{"dance", 2, `unknown verb "dance"; devmesh --help lists the verbs`},
		{"serve --colour", 2, "flag provided but not defined: -colour; devmesh serve --help explains"},
		{"serve data", 2, `unexpected argument "data"`},
		{"serve --storage tape", 2, "the storage is standalone or rocketmq"},
		{"serve --user nobody", 2, "a user is name=password"},
		{"publish --topic t", 2, "--url is missing"},
		{"publish --url amqp://localhost --topic t", 2, "grpc, grpcs, tcp, tcps, http or https"},
		{"publish --url grpc://localhost", 2, "--topic: invalid topic"},
		{"publish --url grpc://localhost --topic t --group=", 2, "--group is empty"},
		{"publish --url grpc://localhost --topic t --username u", 2, "belong together"},
		{"publish --url grpc://localhost --topic t --extension x", 2, "an extension is name=value"},
		{"publish --url grpc://localhost --topic t --extension X-Y=1", 2, "no valid event"},
		{"publish --url grpc://localhost --topic t data --id 1", 2, "flag --id has to stand before the data"},
		{"publish --url grpc://localhost --topic t --type=", 2, "type: MUST be a non-empty string"},
		{"subscribe --url grpc://localhost --topic a,,b", 2, "--topic: invalid topic"},
		{"subscribe --url grpc://localhost --topic a --count -1", 2, "--count is less than 0"},
		{"doctor --help", 0, "--topic topic"},
		{"doctor", 2, "--url is missing"},
		{"doctor --url grpc://localhost --group g", 2, "flag provided but not defined: -group"},
		{"doctor --url grpc://localhost --topic a,b", 2, "--topic: invalid topic"},
		{"doctor --url grpc://localhost --alone", 2, "--alone needs --topic"},
		{"doctor --url grpc://localhost --sink localhost:8080", 2, "--sink: \"localhost:8080\" is no URL such as"},
		{"doctor --url http://localhost --token-file missing", 2, "reading the token"},
		{"receive --count -1", 2, "--count is less than 0"},
		{"receive --address nowhere", 1, "missing port"},
		{"send data", 2, "is no URL such as"},
	} {
		t.Run(c.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), strings.Fields(c.args), streams{in: strings.NewReader(""), out: &stdout, err: &stderr})
			if code != c.code {
				t.Errorf("exit status %d, want %d", code, c.code)
			}
			told, silent := &stderr, &stdout
			if c.code == 0 {
				told, silent = &stdout, &stderr
			}
			contains(t, told.String(), c.want)
			if silent.Len() > 0 {
				t.Errorf("unexpected output %q", silent)
			}
		})
	}
}
