package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"lonja/kit/bus"
	"lonja/kit/projection"
	"lonja/kit/streams"
)

// addTimer adds a handler of the events of a timer that are due.
func (s *Service) addTimer(router *message.Router, d *deps, t *Timer) error {
	return d.addClock(router, newClock(d, t, newPace()), 2*timeout)
}

// addEffect adds a handler of the events that call for an effect.
func (s *Service) addEffect(router *message.Router, d *deps, e *Effect) error {
	return d.addClock(router, newClock(d, e.timer(), newAtOnce(cmp.Or(e.AtOnce, 4))), e.timeout()+2*timeout)
}

func (d *deps) addClock(router *message.Router, c *clock, limit time.Duration) error {
	t := c.timer
	d.clocks[t.Name] = c
	return d.handleFrom(router, limit, t.Name+"-clock", c, func(ctx context.Context, m *message.Message) error {
		event := d.record(m)
		m.SetContext(context.WithValue(m.Context(), retryKey{}, bus.DeadLetter{Consumer: t.Name,
			Stream: event.Stream, Sequence: event.Sequence, Subject: event.Subject, Headers: event.Headers, Data: string(event.Data)}))
		return d.react(ctx, t.reaction(), m, event)
	})
}

// retryTimer has a timer's clock try an event again that it had given up. The rows decide
// whether that is still to be done.
func (d *deps) retryTimer(consumer, stream string, sequence uint64) bool {
	c := d.clocks[consumer]
	if c == nil || c.timer.Stream != streams.BaseOf(stream) {
		return false
	}
	c.retry(d.log.Layout.Number(stream, sequence))
	return true
}

// checkTimers returns an error if a timer is declared wrongly.
func (s *Service) checkTimers() error {
	for i := range s.Timers {
		if err := s.checkTimer(&s.Timers[i]); err != nil {
			return fmt.Errorf("timer %q: %w", s.Timers[i].Name, err)
		}
	}
	return nil
}

func (s *Service) checkTimer(t *Timer) error {
	if t.Name == "" || t.View == nil || t.Pending == "" || len(t.Handlers) == 0 {
		return errors.New("the fields Name, View, Pending and Handlers are required")
	}
	if !s.reads(t.View, t.Stream) {
		return fmt.Errorf("its View must be one of Service.Views and read stream %s", t.Stream)
	}
	return nil
}

// reads reports whether a view is one of the service's and reads a stream.
func (s *Service) reads(v *projection.View, stream string) bool {
	return slices.Contains(s.Views, v) && slices.ContainsFunc(v.Sources(), func(src projection.Source) bool { return src.Stream == stream })
}
