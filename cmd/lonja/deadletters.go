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

type deadLettersCommand struct {
	List  deadLettersListCommand  `cmd:"" help:"List the messages that could not be handled, oldest first."`
	Show  deadLettersShowCommand  `cmd:"" help:"Show a dead letter with its message, as JSON."`
	Retry deadLettersRetryCommand `cmd:"" help:"Deliver messages again, each to the consumer that failed only."`
	Drop  deadLettersDropCommand  `cmd:"" help:"Delete dead letters. The messages stay on their streams."`
}

type deadLettersListCommand struct {
	connection
	From  uint64 `help:"Id of the first dead letter to list." default:"1"`
	Limit int    `help:"Maximum number to list." default:"50"`
}

// Run lists dead letters.
func (c *deadLettersListCommand) Run(ctx context.Context) error {
	return c.withDeadLetters(ctx, func(queue *bus.DeadLetterQueue) error {
		deadLetters, total, err := queue.List(ctx, c.From, c.Limit)
		if err != nil {
			return err
		}
		out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		if len(deadLetters) > 0 {
			fmt.Fprintln(out, "ID\tTIME\tCONSUMER\tMESSAGE\tSUBJECT\tREASON")
		}
		for _, l := range deadLetters {
			fmt.Fprintf(out, "%d\t%s\t%s\t%s:%d\t%s\t%s\n", l.ID, l.Time.Local().Format(time.DateTime), l.Consumer,
				l.Stream, l.Sequence, l.Subject, firstLine(l.Reason))
		}
		if err := out.Flush(); err != nil {
			return err
		}
		fmt.Printf("%d of %d dead letters\n", len(deadLetters), total)
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

type deadLettersShowCommand struct {
	connection
	ID uint64 `arg:"" help:"Id of the dead letter, as list shows it."`
}

// Run shows a dead letter.
func (c *deadLettersShowCommand) Run(ctx context.Context) error {
	return c.withDeadLetters(ctx, func(queue *bus.DeadLetterQueue) error {
		l, err := queue.Get(ctx, c.ID)
		if err != nil {
			return err
		}
		return printJSON(l)
	})
}

type deadLettersRetryCommand struct {
	connection
	IDs []uint64 `arg:"" name:"ids" help:"Ids of the dead letters, as list shows them."`
}

// Run retries dead letters, and stops at the first error.
func (c *deadLettersRetryCommand) Run(ctx context.Context) error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	return c.withDeadLetters(ctx, func(queue *bus.DeadLetterQueue) error {
		for _, id := range c.IDs {
			to, err := queue.Retry(ctx, id, config)
			if err != nil {
				return err
			}
			fmt.Printf("dead letter %d goes back to %s\n", id, strings.Join(to, ", "))
		}
		return nil
	})
}

type deadLettersDropCommand struct {
	connection
	IDs []uint64 `arg:"" name:"ids" help:"Ids of the dead letters, as list shows them."`
}

// Run drops dead letters, and stops at the first error.
func (c *deadLettersDropCommand) Run(ctx context.Context) error {
	return c.withDeadLetters(ctx, func(queue *bus.DeadLetterQueue) error {
		for _, id := range c.IDs {
			if err := queue.Drop(ctx, id); err != nil {
				return err
			}
			fmt.Printf("dead letter %d is dropped\n", id)
		}
		return nil
	})
}

func (c connection) withDeadLetters(ctx context.Context, use func(*bus.DeadLetterQueue) error) error {
	return c.withJetStream(ctx, "lonja deadletters", func(js jetstream.JetStream) error { return use(bus.NewDeadLetterQueue(js)) })
}
