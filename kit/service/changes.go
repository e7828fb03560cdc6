package service

import (
	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// notifyChanges publishes notifications of changed keys.
func (d *deps) notifyChanges(changed []projection.KeyChange) {
	for _, t := range changed {
		subject := bus.ChangesSubject(d.service.Name, t.Key)
		if err := d.Conn.Publish(subject, []byte(eventlog.Position(t.Stream, t.Sequence))); err != nil {
			d.Logger.Debug("a change notification was not sent", "key", t.Key, "reason", err)
		}
	}
}
