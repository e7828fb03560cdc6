package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja"
	"lonja/kit/streams"
)

func streamsConfig() (*streams.Config, error) { return streams.Parse(lonja.StreamsYAML) }

type streamsCommand struct {
	Plan  planCommand  `cmd:"" help:"Show what apply would do. Exit code 2 when there is something."`
	Apply applyCommand `cmd:"" help:"Make the streams and consumers as streams.yaml says. Nothing is ever deleted."`
}

type planCommand struct {
	connection
	Replicas int  `help:"Replicas of every stream; 0 leaves those that are there alone." default:"0"`
	JSON     bool `name:"json" help:"Print JSON, for machines."`
}

// somethingToDo is the exit code of a plan that is not empty.
const somethingToDo = exitCode(2)

// Run shows what is to be done.
func (c *planCommand) Run(ctx context.Context) error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	return c.withJetStream(ctx, "lonja streams plan", func(js jetstream.JetStream) error {
		plan, err := config.Plan(ctx, js, c.Replicas)
		if err != nil {
			return err
		}
		if c.JSON {
			err = printJSON(plan)
		} else {
			err = writePlan(os.Stdout, plan, inColour(os.Stdout))
		}
		if err == nil && len(plan.Changes) > 0 {
			return somethingToDo
		}
		return err
	})
}

type applyCommand struct {
	connection
	Replicas  int           `help:"Replicas of every stream; 0 leaves those that are there alone." default:"0"`
	AllowLoss []string      `help:"Streams of which messages may be lost by this." placeholder:"STREAM"`
	Wait      time.Duration `help:"How long to wait for NATS, and for enough servers of a cluster." default:"0s"`
}

// Run makes the streams and consumers. While there is time to wait, whatever
// goes wrong with the servers is tried again.
func (c *applyCommand) Run(ctx context.Context) error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(c.Wait); ; {
		refused, err := c.apply(ctx, config)
		if err == nil || refused || !time.Now().Before(deadline) {
			return err
		}
		fmt.Fprintln(os.Stderr, "waiting:", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(min(time.Second, time.Until(deadline))):
		}
	}
}

// apply tries once. Refused means that it is no use to try again.
func (c *applyCommand) apply(ctx context.Context, config *streams.Config) (refused bool, err error) {
	err = c.withJetStream(ctx, "lonja streams apply", func(js jetstream.JetStream) error {
		plan, err := config.Plan(ctx, js, c.Replicas)
		if err != nil {
			return err
		}
		if err := writePlan(os.Stdout, plan, inColour(os.Stdout)); err != nil {
			return err
		}
		if err := plan.Validate(c.AllowLoss); err != nil {
			refused = true
			return fmt.Errorf("nothing was done:\n%w", err)
		}
		return plan.Apply(ctx, js, c.AllowLoss)
	})
	if err == nil {
		fmt.Printf("%d streams are as streams.yaml says\n", len(config.Streams))
	}
	return refused, err
}

// The marks and colours of changes.
var marks = map[streams.Action]struct{ mark, colour string }{
	streams.Create: {"+", "\x1b[32m"},
	streams.Update: {"~", "\x1b[33m"},
	streams.Refuse: {"!", "\x1b[31m"},
}

// writePlan writes a line for each stream and consumer that is to change, and
// below it what of it.
func writePlan(w io.Writer, p streams.Plan, colour bool) error {
	var out bytes.Buffer
	for _, c := range p.Changes {
		m, plain := marks[c.Action], "\x1b[0m"
		if !colour {
			m.colour, plain = "", ""
		}
		fmt.Fprintf(&out, "%s%s %s%s\n", m.colour, m.mark, c.Target(), plain)
		for _, d := range c.Fields {
			fmt.Fprintf(&out, "    %s: %s -> %s\n", d.Field, shownValue(d.Field, d.Is), shownValue(d.Field, d.Want))
		}
		for _, why := range []string{c.Impossible, c.Loses} {
			if why != "" {
				fmt.Fprintf(&out, "    %s%s%s\n", m.colour, why, plain)
			}
		}
	}
	for _, name := range p.Foreign {
		fmt.Fprintf(&out, "  stream %s is none of the shop's, and is left alone\n", name)
	}
	fmt.Fprintf(&out, "%d to create, %d to change, %d that cannot be changed, %d as streams.yaml says\n",
		p.Count(streams.Create), p.Count(streams.Update), p.Count(streams.Refuse), p.Unchanged)
	_, err := out.WriteTo(w)
	return err
}

// shownValue is a field's value for people: JetStream writes times in nanoseconds.
func shownValue(field string, value json.RawMessage) string {
	if string(value) == "null" {
		return "nothing"
	}
	var n int64
	times := field == "duplicate_window" || strings.HasSuffix(field, "_age") || strings.HasSuffix(field, "_wait") || strings.HasSuffix(field, "_timeout")
	if times && json.Unmarshal(value, &n) == nil {
		return time.Duration(n).String()
	}
	return string(value)
}
