package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/audit"
	"lonja/events"
)

type timelineCommand struct {
	connection
	ID   string `arg:"" help:"Id of an order, payment or user, or SKU of a product."`
	JSON bool   `name:"json" help:"Print JSON, for machines."`
}

// Run prints the timeline, with each event indented below its cause.
func (c *timelineCommand) Run(ctx context.Context) error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	return c.withJetStream(ctx, "lonja timeline", func(js jetstream.JetStream) error {
		timeline, err := audit.Timeline(ctx, audit.TimelineConfig{JetStream: js, Codec: eventCodec, Streams: config}, c.ID)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(timeline)
		}
		return writeTimeline(os.Stdout, c.ID, timeline, inColour(os.Stdout))
	})
}

// writeTimeline writes a line for each event: time, position, type, the order if
// there are several, actor, the reaction and its cause, and a summary of the data.
func writeTimeline(w io.Writer, id string, timeline []audit.TimelineEvent, colour bool) error {
	positions, names, orders := 0, 0, map[string]bool{}
	for _, t := range timeline {
		positions, names = max(positions, len(t.Position())), max(names, len(eventName(t)))
		orders[orderOf(t)] = true
	}
	delete(orders, "")
	dim, bold, plain := "", "", ""
	if colour {
		dim, bold, plain = "\x1b[2m", "\x1b[1m", "\x1b[0m"
	}
	for _, t := range timeline {
		by := cmp.Or(t.Actor, "anonymous")
		if t.Consumer != "" {
			by += " (" + t.Consumer + " on " + t.Cause + ")"
		}
		if len(orders) > 1 && orderOf(t) != "" {
			by = orderOf(t) + "  " + by
		}
		line := fmt.Sprintf("%s%s  %-*s%s  %s%-*s%s  %s%s%s  %s", dim, t.Time.Local().Format("2006-01-02 15:04:05.000"), positions, t.Position(), plain,
			bold, names, eventName(t), plain, dim, by, plain, sanitize(audit.Summary(t.Event, id)))
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	first, last := timeline[0].Time, timeline[len(timeline)-1].Time
	_, err := fmt.Fprintf(w, "%d events in %v\n", len(timeline), last.Sub(first).Round(time.Millisecond))
	return err
}

// orderOf returns the order that an event belongs to, "" when there is none.
func orderOf(t audit.TimelineEvent) string {
	if event, ok := t.Event.(events.OfOrder); ok {
		return string(event.Order())
	}
	return ""
}

// eventName returns an event's name, indented by the number of its causes.
func eventName(t audit.TimelineEvent) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(t.Type, "lonja."), ".v") // without the version
	return strings.Repeat("  ", t.Depth) + name
}

// sanitize replaces control characters in text that people wrote, so that it cannot
// control the terminal.
func sanitize(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// printJSON prints a value as indented JSON.
func printJSON(v any) error {
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(v)
}

// inColour reports whether a file is a terminal that should show colours.
func inColour(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
