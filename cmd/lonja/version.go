package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/nats-io/nats-server/v2/server"
)

type versionCommand struct{}

// Run prints what --version prints.
func (versionCommand) Run() error {
	fmt.Println(version())
	return nil
}

// version returns the version of this program.
func version() string {
	info, _ := debug.ReadBuildInfo()
	return describe(info, os.Getenv)
}

// describe returns the commit of a build and the versions of Go and of the embedded
// NATS server. The program of an image is built without version control, so that
// the build is reproducible; there the environment holds version and revision.
func describe(info *debug.BuildInfo, env func(string) string) string {
	build, revision, changed := "", "", ""
	if info != nil {
		build = info.Main.Version
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				changed = " and changes"
			}
		}
	}
	build, revision = cmp.Or(env("LONJA_VERSION"), build, "(devel)"), cmp.Or(revision, env("LONJA_REVISION"), "unknown")
	return fmt.Sprintf("lonja %s, revision %s%s, %s %s/%s, NATS server %s", build, revision, changed, runtime.Version(), runtime.GOOS, runtime.GOARCH, server.VERSION)
}

type helpCommand struct {
	Command []string `arg:"" optional:"" help:"Name of a command, such as streams apply."`
}

// Run prints what COMMAND --help prints.
func (c *helpCommand) Run(ctx context.Context) error { return run(ctx, append(c.Command, "--help")) }
