package bus

import (
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
)

// Changes calls changed for every change notification of a service, for as long as the
// connection lasts. The arguments are the key that changed and the position that includes the
// change; see ChangesSubject. An empty key means that notifications may have been missed, so
// any key may have changed. Calls may be concurrent and must not block. The error says why the
// subscription could not be made; it is nil on a closed connection.
func (c *Client) Changes(name string, changed func(key, position string)) error {
	sub, err := c.conn.Subscribe(ChangesSubject(name, "*"), func(m *nats.Msg) {
		if key, ok := strings.CutPrefix(m.Subject, ChangesSubject(name, "")); ok && key != "" {
			changed(key, string(m.Data))
		}
	})
	if errors.Is(err, nats.ErrConnectionClosed) {
		return nil // it has ended already
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
