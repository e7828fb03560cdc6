package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// DeferredCommand is a command that was deferred, when, and what became of it.
type DeferredCommand struct {
	Name    string // such as "orders.place"
	At      time.Time
	Data    json.RawMessage // as it was sent
	Outcome Outcome
}

// DeferredBy calls see for every command of an actor that the stream of deferred commands
// still holds, oldest first, until see returns an error, which it returns. It reads all
// deferred commands, but has one in memory at a time. The error is Unavailable when the stream
// cannot be read.
func (c *Client) DeferredBy(ctx context.Context, actor string, see func(DeferredCommand) error) error {
	log, all := undecodedLog(c.js), DeferredSubject("*.*", "*")
	last, err := log.Last(ctx, DeferredStream, all)
	var own []uint64
	if err == nil {
		err = log.Load(ctx, DeferredStream, all, 0, last, func(m eventlog.Record) {
			if m.Headers.Get(eventlog.HeaderActor) == actor {
				own = append(own, m.Sequence)
			}
		})
	}
	if err != nil {
		return unreadable(err)
	}
	for _, seq := range own {
		m, err := log.At(ctx, DeferredStream, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // it was removed meanwhile
		}
		if err != nil {
			return unreadable(err)
		}
		parts := strings.Split(m.Subject, ".") // deferred.<service>.<command>.<id>
		outcome, _, err := c.Outcome(ctx, parts[3])
		if errs.Is(err, errs.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := see(DeferredCommand{parts[1] + "." + parts[2], m.StoredAt, m.Data, outcome}); err != nil {
			return err
		}
	}
	return nil
}

func unreadable(err error) error {
	return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "the deferred commands cannot be read now"), err)
}
