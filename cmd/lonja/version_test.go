package main

import (
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"lonja/test/harness"
)

func TestVersion_CommandAndFlagAgree(t *testing.T) {
	plain := harness.Run(t, "version")
	if flag := harness.Run(t, "--version"); flag != plain || strings.Count(plain, "\n") != 1 {
		t.Errorf("version says %q, --version %q", plain, flag)
	}
	if !regexp.MustCompile(`^lonja \S+, revision \S.*, go1\.\S+ \w+/\w+, NATS server ` + regexp.QuoteMeta(server.VERSION) + "\n$").MatchString(plain) {
		t.Errorf("it says %q", plain)
	}
}

func TestVersion_ComesFromTheBuildOrTheImage(t *testing.T) {
	clone := &debug.BuildInfo{Main: debug.Module{Version: "v0.1.0"}, Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "false"}}}
	edited := &debug.BuildInfo{Main: debug.Module{Version: "v0.1.0+dirty"}, Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}}}
	image := &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}
	bare := func(string) string { return "" }
	imageEnv := func(name string) string {
		return map[string]string{"LONJA_VERSION": "1.2.3", "LONJA_REVISION": "def"}[name]
	}
	for _, c := range []struct {
		info *debug.BuildInfo
		env  func(string) string
		want string
	}{
		{clone, bare, "lonja v0.1.0, revision abc, go"},
		{edited, bare, "lonja v0.1.0+dirty, revision abc and changes, go"},
		{image, imageEnv, "lonja 1.2.3, revision def, go"},
		{image, bare, "lonja (devel), revision unknown, go"},
		{nil, bare, "lonja (devel), revision unknown, go"},
	} {
		if got := describe(c.info, c.env); !strings.HasPrefix(got, c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestHelp_PrintsTheHelpOfACommand(t *testing.T) {
	for _, command := range []string{"", "up", "streams apply", "service", "deadletters"} {
		words := strings.Fields(command)
		if help, flag := harness.Run(t, append([]string{"help"}, words...)...), harness.Run(t, append(words, "--help")...); help != flag || !strings.HasPrefix(help, "Usage: lonja") {
			t.Errorf("help %s says\n%s", command, help)
		}
	}
	if code, out := harness.Ends(t, t.TempDir(), "help", "nothing"); code == 0 || !strings.Contains(out, "nothing") {
		t.Errorf("help nothing: exit code %d, %q", code, out)
	}
}
