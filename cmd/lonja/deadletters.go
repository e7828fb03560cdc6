package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/bus"
)

type deadlettersCommand struct {
	List  lettersListCommand  `cmd:"" help:"List the messages that could not be handled, oldest first."`
	Show  lettersShowCommand  `cmd:"" help:"Show one of them whole, as JSON."`
	Retry lettersRetryCommand `cmd:"" help:"Give some back to exactly the consumer that failed."`
	Drop  lettersDropCommand  `cmd:"" help:"Throw some away for good. The message that died stays on its stream."`
}

type lettersListCommand struct {
	connection
	From  uint64 `help:"First letter to list." default:"1"`
	Limit int    `help:"How many to list." default:"50"`
}

// Run lists letters.
func (c *lettersListCommand) Run(ctx context.Context) error {
	return c.withBox(ctx, func(box *bus.DeadLetterQueue) error {
		letters, total, err := box.List(ctx, c.From, c.Limit)
		if err != nil {
			return err
		}
		out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		if len(letters) > 0 {
			fmt.Fprintln(out, "LETTER\tTIME\tCONSUMER\tMESSAGE\tSUBJECT\tREASON")
		}
		for _, l := range letters {
			fmt.Fprintf(out, "%d\t%s\t%s\t%s:%d\t%s\t%s\n", l.ID, l.Time.Local().Format(time.DateTime), l.Consumer,
				l.Stream, l.Sequence, l.Subject, firstLine(l.Reason))
		}
		if err := out.Flush(); err != nil {
			return err
		}
		fmt.Printf("%d of %d dead letters\n", len(letters), total)
		return nil
	})
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if r := []rune(s); len(r) > 100 {
		return string(r[:99]) + "…"
	}
	return s
}

type lettersShowCommand struct {
	connection
	Letter uint64 `arg:"" help:"Number of the letter, as list shows it."`
}

// Run shows a letter.
func (c *lettersShowCommand) Run(ctx context.Context) error {
	return c.withBox(ctx, func(box *bus.DeadLetterQueue) error {
		l, err := box.Get(ctx, c.Letter)
		if err != nil {
			return err
		}
		return printJSON(l)
	})
}

type lettersRetryCommand struct {
	connection
	Letters []uint64 `arg:"" help:"Numbers of the letters."`
}

// Run gives letters back.
func (c *lettersRetryCommand) Run(ctx context.Context) error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	return c.withBox(ctx, func(box *bus.DeadLetterQueue) error {
		for _, id := range c.Letters {
			to, err := box.Retry(ctx, id, config)
			if err != nil {
				return err
			}
			fmt.Printf("letter %d goes back to %s\n", id, strings.Join(to, ", "))
		}
		return nil
	})
}

type lettersDropCommand struct {
	connection
	Letters []uint64 `arg:"" help:"Numbers of the letters."`
}

// Run drops letters.
func (c *lettersDropCommand) Run(ctx context.Context) error {
	return c.withBox(ctx, func(box *bus.DeadLetterQueue) error {
		for _, id := range c.Letters {
			if err := box.Drop(ctx, id); err != nil {
				return err
			}
			fmt.Printf("letter %d is gone\n", id)
		}
		return nil
	})
}

func (c connection) withBox(ctx context.Context, use func(*bus.DeadLetterQueue) error) error {
	return c.withJetStream(ctx, "lonja deadletters", func(js jetstream.JetStream) error { return use(bus.NewDeadLetterQueue(js)) })
}
