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
	ID   string `arg:"" help:"Id of an order, a payment or a user, or the SKU of a product."`
	JSON bool   `name:"json" help:"Print JSON, for machines."`
}

// Run prints the story, each event indented below what it came from.
func (c *timelineCommand) Run(ctx context.Context) error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	return c.withJetStream(ctx, "lonja timeline", func(js jetstream.JetStream) error {
		told, err := audit.Tell(ctx, audit.Telling{JetStream: js, Language: language, Streams: config}, c.ID)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(told)
		}
		return writeTimeline(os.Stdout, c.ID, told, inColour(os.Stdout))
	})
}

// writeTimeline writes a line for each event: when, where, what, of which order
// if there are several, by whom, as whose reaction to what, and its data in a
// few words.
func writeTimeline(w io.Writer, id string, told []audit.Told, colour bool) error {
	positions, names, orders := 0, 0, map[string]bool{}
	for _, t := range told {
		positions, names = max(positions, len(t.Position())), max(names, len(factName(t)))
		orders[orderOf(t)] = true
	}
	delete(orders, "")
	dim, bold, plain := "", "", ""
	if colour {
		dim, bold, plain = "\x1b[2m", "\x1b[1m", "\x1b[0m"
	}
	for _, t := range told {
		by := cmp.Or(t.Actor, "anonymous")
		if t.Consumer != "" {
			by += " (" + t.Consumer + " on " + t.Cause + ")"
		}
		if len(orders) > 1 && orderOf(t) != "" {
			by = orderOf(t) + "  " + by
		}
		line := fmt.Sprintf("%s%s  %-*s%s  %s%-*s%s  %s%s%s  %s", dim, t.Time.Local().Format("2006-01-02 15:04:05.000"), positions, t.Position(), plain,
			bold, names, factName(t), plain, dim, by, plain, clean(audit.Summary(t.Event, id)))
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	first, last := told[0].Time, told[len(told)-1].Time
	_, err := fmt.Fprintf(w, "%d facts in %v\n", len(told), last.Sub(first).Round(time.Millisecond))
	return err
}

// orderOf is the order that an event is part of, "" when it is of none.
func orderOf(t audit.Told) string {
	if event, ok := t.Event.(events.OfOrder); ok {
		return string(event.Order())
	}
	return ""
}

// factName is an event's name, indented by its causes.
func factName(t audit.Told) string {
	return strings.Repeat("  ", t.Depth) + strings.TrimSuffix(strings.TrimPrefix(t.Type, "lonja."), ".v1")
}

// clean keeps what people wrote from moving a terminal's cursor.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// printJSON prints a value for machines that people may read, too.
func printJSON(v any) error {
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(v)
}

// inColour tells whether a file is a terminal whose owner wants colours.
func inColour(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
