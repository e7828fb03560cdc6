package bus

import (
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
)

// Changes calls changed, from then on and for as long as the connection lasts,
// when something about a key of a service has changed: with the key, and the
// position that shows it (see bus.ChangesSubject). The key "" means that
// some news may have been missed: then everything may have changed. Calls may be
// concurrent and must not block.
func (c *Client) Changes(name string, changed func(key, position string)) error {
	sub, err := c.conn.Subscribe(ChangesSubject(name, "*"), func(m *nats.Msg) {
		if key, told := strings.CutPrefix(m.Subject, ChangesSubject(name, "")); told && key != "" {
			changed(key, string(m.Data))
		}
	})
	if errors.Is(err, nats.ErrConnectionClosed) {
		return nil // it has lasted
	}
	if err != nil {
		return err
	}
	back := c.conn.StatusChanged(nats.CONNECTED, nats.CLOSED)
	late := sub.StatusChanged(nats.SubscriptionSlowConsumer)
	go func() {
		for {
			select {
			case status := <-back:
				if status == nats.CLOSED || c.conn.IsClosed() {
					return
				}
			case _, ok := <-late:
				if !ok {
					return
				}
			}
			changed("", "")
		}
	}()
	return nil
}
