package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
)

// Client sends commands and queries to services, and reads what they keep on JetStream. It is
// safe for concurrent use, and does not close its connections.
type Client struct {
	conn *nats.Conn
	js   jetstream.JetStream
}

// NewClient returns a client over one connection.
func NewClient(conn *nats.Conn) *Client { return NewClientWith(conn, conn) }

// NewClientWith returns a client that uses a connection of its own for JetStream. Services
// see the inbox of each request: whoever stole a service's key could make the server deliver
// forged JetStream replies there. On a connection of its own, JetStream's inboxes are unknown
// to services.
func NewClientWith(conn, jetStream *nats.Conn) *Client {
	js, err := jetstream.New(jetStream)
	if err != nil {
		panic(err) // only when options contradict each other
	}
	return &Client{conn, eventlog.WithSync(js, nil)}
}

// AwaitSync makes Defer wait until a command is on the disk. Call it before the first use.
func (c *Client) AwaitSync(sync eventlog.SyncFunc) { c.js = eventlog.WithSync(c.js, sync) }

// Connected reports whether both connections are up at the moment.
func (c *Client) Connected() bool { return c.conn.IsConnected() && c.js.Conn().IsConnected() }

// Reply is the answer to a command. Body is JSON, {} when the service answers with a receipt
// only.
type Reply struct {
	Body     json.RawMessage
	EntityID string
	Position string // STREAM:sequence, for a consistency token
	Replayed bool   // the command had been handled before; nothing new was recorded
}

var (
	// ErrNoService reports that no service listens on the subject: the service is down.
	ErrNoService = errors.New("no service listens: it is down")
	// ErrNoAnswer reports that no answer came in time. The request may have taken effect.
	ErrNoAnswer = errors.New("no answer came")
)

// Send sends a command and waits for its answer until ctx ends. A command without an id gets a
// new one. The command's Check runs first, and a command that fails it is not sent.
//
// Errors are of type *errs.Error. Unavailable wraps ErrNoService when the service is down: the
// command had no effect. Unavailable that wraps ErrNoAnswer, or that the service itself
// returned, leaves open whether the command took effect. Send it again with the same id, which
// is safe, or Defer it.
func (c *Client) Send(ctx context.Context, cmd Command, env eventlog.Envelope) (Reply, error) {
	if err := cmd.Check(); err != nil {
		return Reply{}, err
	}
	data, err := json.Marshal(cmd)
	if err != nil {
		return Reply{}, err
	}
	if env.ID == "" {
		env.ID = eventlog.NewID()
	}
	msg, err := c.request(ctx, CommandSubject(cmd.CommandName()), env, data)
	if err != nil {
		return Reply{}, err
	}
	return Reply{
		Body:     msg.Data,
		EntityID: msg.Header.Get(HeaderEntity),
		Position: msg.Header.Get(HeaderPosition),
		Replayed: msg.Header.Get(HeaderReplayed) == "true",
	}, nil
}

// Query sends a query and waits for its answer, in JSON, until ctx ends. Errors are those of
// Send, and a *TooLargeError when the answer does not fit into one message. A query may be
// sent again at any time.
func (c *Client) Query(ctx context.Context, q interface{ QueryName() string }, env eventlog.Envelope) (json.RawMessage, error) {
	body, _, err := c.QueryAt(ctx, q, env)
	return body, err
}

// QueryAt is Query, and also returns the position of the view that answered, as a consistency
// token. An answer to a query with that token in Envelope.After is at least as recent,
// whichever replica gives it.
func (c *Client) QueryAt(ctx context.Context, q interface{ QueryName() string }, env eventlog.Envelope) (body json.RawMessage, position string, err error) {
	data, err := json.Marshal(q)
	if err != nil {
		return nil, "", err
	}
	msg, err := c.request(ctx, QuerySubject(q.QueryName()), env, data)
	if err != nil {
		return nil, "", err
	}
	return msg.Data, msg.Header.Get(HeaderPosition), nil
}

func (c *Client) request(ctx context.Context, subject string, env eventlog.Envelope, data []byte) (*nats.Msg, error) {
	msg, err := natsauth.Request(ctx, c.conn, &nats.Msg{Subject: subject, Header: env.Header(), Data: data})
	if err != nil {
		return nil, noAnswer(subject, err)
	}
	return msg, errorIn(subject, msg)
}

// noAnswer returns the error for a request that got no answer.
func noAnswer(subject string, err error) error {
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "the service behind %s is down", subject), ErrNoService)
	}
	return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "no answer from %s", subject), errors.Join(ErrNoAnswer, err))
}

// errorIn returns the error that an answer carries, nil when it carries none.
func errorIn(subject string, msg *nats.Msg) error {
	if msg.Header.Get(HeaderErrorCode) == "" {
		return nil
	}
	var r errs.Error
	if err := json.Unmarshal(msg.Data, &r); err != nil || r.Code == "" {
		return fmt.Errorf("%s returned an error that cannot be read: %s", subject, msg.Header.Get(HeaderError))
	}
	if size, err := strconv.Atoi(msg.Header.Get(HeaderSize)); err == nil && size > 0 {
		return &TooLargeError{&r, size}
	}
	return &r
}

// Health asks every replica of a service for its health. It returns as soon as one is ready,
// or else when ctx ends, with the answers that have come. The result is nil when no replica
// runs or the request cannot be sent.
func (c *Client) Health(ctx context.Context, name string) []Health {
	inbox := c.conn.NewRespInbox()
	sub, err := c.conn.SubscribeSync(inbox)
	if err != nil {
		return nil
	}
	defer sub.Unsubscribe()
	if err := c.conn.PublishRequest(HealthSubject(name), inbox, nil); err != nil {
		return nil
	}
	var all []Health
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return all
		}
		if msg.Subject != inbox || natsauth.CheckReply(msg) != nil {
			continue
		}
		var h Health
		if json.Unmarshal(msg.Data, &h) != nil || h.Service == "" {
			if msg.Header.Get("Status") == "503" {
				return all // no responders
			}
			continue
		}
		if all = append(all, h); h.Ready {
			return all
		}
	}
}
