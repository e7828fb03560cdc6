// Package client sends commands and queries to the services and waits for the
// answers. The gateway, the terminal and the tests use it.
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

// Client speaks to the services, and to JetStream. It is safe for concurrent use.
type Client struct {
	conn *nats.Conn
	js   jetstream.JetStream
}

// NewClient is a client over a connection.
func NewClient(conn *nats.Conn) *Client { return NewClientWith(conn, conn) }

// NewClientWith is a client that speaks to JetStream over another connection. Services
// learn the inboxes that they answer to, and one whose key was stolen could have the
// server deliver there what would pass for JetStream's answer.
func NewClientWith(conn, log *nats.Conn) *Client {
	js, err := jetstream.New(log)
	if err != nil {
		panic(err) // only options that contradict each other
	}
	return &Client{conn, js}
}

// Connected reports whether the connections stand at present.
func (c *Client) Connected() bool { return c.conn.IsConnected() && c.js.Conn().IsConnected() }

// Reply is the answer to a command.
type Reply struct {
	Body     json.RawMessage
	EntityID string
	Position string // STREAM:sequence, for a consistency token
	Replayed bool   // the same command had been sent before
}

var (
	// ErrNoService means that nobody serves the subject: the service is down.
	ErrNoService = errors.New("nobody answers: the service is down")
	// ErrNoAnswer means that no answer came in time: the request may have taken
	// effect or not.
	ErrNoAnswer = errors.New("no answer came")
)

// Send sends a command and waits for its answer, as long as ctx allows. A
// command without an id gets a fresh one. One whose Check fails is not sent: its
// form is checked here, once, for whoever sends commands. Errors are refusals; Unavailable
// wraps ErrNoService when the service is down. When it wraps ErrNoAnswer, or comes from
// the service itself, the command may have taken effect: send it again with the
// same id, or Defer it.
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

// Query sends a query and waits for its answer, as long as ctx allows. Errors are
// as Send's.
func (c *Client) Query(ctx context.Context, q interface{ QueryName() string }, env eventlog.Envelope) (json.RawMessage, error) {
	body, _, err := c.QueryAt(ctx, q, env)
	return body, err
}

// QueryAt is Ask, and tells how far the view stands that answered, as a
// consistency token: with it, another replica shows no less.
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
		return nil, unanswered(subject, err)
	}
	return msg, errorIn(subject, msg)
}

// unanswered says what it means that no answer came.
func unanswered(subject string, err error) error {
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "the service behind %s is down", subject), ErrNoService)
	}
	return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "no answer from %s", subject), errors.Join(ErrNoAnswer, err))
}

// errorIn is the refusal that an answer is, nil when it is none.
func errorIn(subject string, msg *nats.Msg) error {
	if msg.Header.Get(HeaderErrorCode) == "" {
		return nil
	}
	var r errs.Error
	if err := json.Unmarshal(msg.Data, &r); err != nil || r.Code == "" {
		return fmt.Errorf("%s was refused: %s", subject, msg.Header.Get(HeaderError))
	}
	if size, err := strconv.Atoi(msg.Header.Get(HeaderSize)); err == nil && size > 0 {
		return &TooLargeError{&r, size}
	}
	return &r
}

// Health asks every replica of a service how it does, and returns the answers
// that came before ctx ended, or the first that is ready.
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
