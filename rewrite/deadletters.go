package rewrite

import (
	"context"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"lonja/kit/bus"
)

// findDeadLetters adds the streams of dead letters and of messages being retried to those that
// are written anew, if they hold a rewritten event. Their files may also hold what was dropped
// or retried since: the server does not overwrite it.
func (r *rewriting) findDeadLetters(ctx context.Context) error {
	for _, stream := range []string{bus.DeadLetterStream, bus.RetryStream} {
		held, err := r.source.holds(ctx, stream)
		if err != nil {
			return err
		}
		if !held {
			continue
		}
		found, err := r.texts.inFiles(ctx, r.older, func(path string) bool { return inStream(path, stream) })
		if err != nil {
			return err
		}
		about := len(found) > 0
		_, err = r.source.each(ctx, stream, func(m stored) error {
			about = about || r.isOfChanged(m)
			return nil
		})
		if err != nil {
			return err
		}
		if about {
			r.renewed = append(r.renewed, stream)
		}
	}
	return nil
}

// isOfChanged reports whether a dead letter, or a message being retried, is of an event that is
// rewritten.
func (r *rewriting) isOfChanged(m stored) bool {
	parts := strings.Split(m.subject, ".") // deadletters.<consumer>.<stream>.<sequence>, retries.<service>.<consumer>.<stream>.<sequence>
	n := len(parts)
	if n < 3 || parts[n-2] != accounts {
		return false
	}
	sequence, err := strconv.ParseUint(parts[n-1], 10, 64)
	return err == nil && r.changed[sequence]
}

// writeDeadLetters writes dead letters, and messages being retried, anew. One of a rewritten
// event tells where the event is, and nothing of what it was: a retry compares both.
func (r *rewriting) writeDeadLetters(ctx context.Context) error {
	for _, stream := range r.renewed[1:] {
		_, err := r.source.each(ctx, stream, func(m stored) error {
			if r.isOfChanged(m) || r.texts.inMessage(m) {
				m = r.emptied(m)
				r.report.Emptied++
			}
			_, err := r.target.write(ctx, stream, m)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// emptied returns a message without its data and the headers of the event that it is of.
func (r *rewriting) emptied(m stored) stored {
	header := nats.Header{}
	for name, values := range m.header {
		if strings.HasPrefix(name, "lonja-dead-") || strings.HasPrefix(name, "Nats-") {
			header[name] = values
		}
	}
	if header.Get(bus.HeaderDeadLetterReason) != "" {
		header.Set(bus.HeaderDeadLetterReason, "the event was recorded anew, sealed; the reason is left out")
	}
	m.header, m.data = header, nil
	return m
}
