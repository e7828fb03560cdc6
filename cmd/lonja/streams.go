package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

// partitionsFlag is a flag of commands that create the streams, or say who may use them.
type partitionsFlag struct {
	Partitions map[string]int `help:"Over how many streams the events of a stream are spread by their entity's id, such as ORDERS=2,PAYMENTS=2. The number can only grow, while all services are stopped. Default: as many as there are." placeholder:"STREAM=NUMBER" mapsep:","`
}

// check returns an error if one of the streams cannot have so many partitions.
func (f partitionsFlag) check() error {
	config, err := streamsConfig()
	if err == nil {
		err = config.CheckWanted(f.Partitions)
	}
	if err != nil {
		return fmt.Errorf("--partitions: %w", err)
	}
	return nil
}

type streamsCommand struct {
	Plan  planCommand  `cmd:"" help:"Show what apply would change. The exit code is 2 if there is anything."`
	Apply applyCommand `cmd:"" help:"Create and update the streams and consumers as in streams.yaml. It never deletes any."`
}

type planCommand struct {
	connection
	Replicas int  `help:"Replicas of every stream; 0 keeps the present number." default:"0"`
	JSON     bool `name:"json" help:"Print JSON."`
}

// planNotEmpty is the exit code for a plan with changes.
const planNotEmpty = exitCode(2)

// Run prints the plan.
func (c *planCommand) Run(ctx context.Context) error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	return c.withJetStream(ctx, "lonja streams plan", func(js jetstream.JetStream) error {
		config, err := config.Present(ctx, js)
		if err != nil {
			return err
		}
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
			return planNotEmpty
		}
		return err
	})
}

type applyCommand struct {
	connection
	partitionsFlag
	Replicas  int           `help:"Replicas of every stream; 0 keeps the present number." default:"0"`
	AllowLoss []string      `help:"Streams that may lose messages by the change." placeholder:"STREAM"`
	Wait      time.Duration `help:"How long to retry while NATS, or a quorum of its cluster, is not available." default:"0s"`
}

// Run creates and updates the streams and consumers. It retries errors of the
// servers until --wait is over.
func (c *applyCommand) Run(ctx context.Context) error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(c.Wait); ; {
		final, err := c.apply(ctx, config)
		if err == nil || final || !time.Now().Before(deadline) {
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

// apply tries once. Final means that a retry cannot help.
func (c *applyCommand) apply(ctx context.Context, config *streams.Config) (final bool, err error) {
	err = c.withJetStream(ctx, "lonja streams apply", func(js jetstream.JetStream) error {
		var err error
		if config, err = config.Grow(ctx, js, c.Partitions); err != nil {
			final = errors.Is(err, streams.ErrShrink)
			return err
		}
		plan, err := config.Plan(ctx, js, c.Replicas)
		if err != nil {
			return err
		}
		if err := writePlan(os.Stdout, plan, inColour(os.Stdout)); err != nil {
			return err
		}
		if err := plan.Validate(c.AllowLoss); err != nil {
			final = true
			return fmt.Errorf("nothing was done:\n%w", err)
		}
		return plan.Apply(ctx, js, c.AllowLoss)
	})
	if err == nil {
		fmt.Printf("%d streams are as streams.yaml says\n", len(config.Streams))
	}
	return final, err
}

// marks holds the mark and the colour of each kind of change.
var marks = map[streams.Action]struct{ mark, colour string }{
	streams.Create: {"+", "\x1b[32m"},
	streams.Update: {"~", "\x1b[33m"},
	streams.Refuse: {"!", "\x1b[31m"},
}

// writePlan writes a line for each stream and consumer that changes, and its fields
// below it.
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
		fmt.Fprintf(&out, "  stream %s is not in streams.yaml and is left alone\n", name)
	}
	fmt.Fprintf(&out, "%d to create, %d to change, %d that cannot be changed, %d as streams.yaml says\n",
		p.Count(streams.Create), p.Count(streams.Update), p.Count(streams.Refuse), p.Unchanged)
	_, err := out.WriteTo(w)
	return err
}

// shownValue formats a field's value. JetStream has durations in nanoseconds.
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
