package service

import (
	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// announce tells of touched keys.
func (d *deps) announce(touched []projection.KeyChange) {
	for _, t := range touched {
		subject := bus.ChangesSubject(d.service.Name, t.Key)
		if err := d.Conn.Publish(subject, []byte(eventlog.Position(t.Stream, t.Sequence))); err != nil {
			d.Logger.Debug("a change was not announced", "key", t.Key, "reason", err)
		}
	}
}
