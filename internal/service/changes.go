package service

import (
	"lonja/internal/envelope"
	"lonja/internal/view"
	"lonja/internal/wire"
)

// announce tells of touched keys.
func (d *deps) announce(touched []view.Touch) {
	for _, t := range touched {
		subject := wire.ChangesSubject(d.service.Name, t.Key)
		if err := d.Conn.Publish(subject, []byte(envelope.Position(t.Stream, t.Sequence))); err != nil {
			d.Logger.Debug("a change was not announced", "key", t.Key, "reason", err)
		}
	}
}
