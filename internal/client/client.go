// Package client sends commands and queries to the services and waits for the
// answers. The gateway, the terminal and the tests use it.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/internal/access"
	"lonja/internal/envelope"
	"lonja/internal/refusal"
	"lonja/internal/wire"
)

// Client speaks to the services, and to JetStream. It is safe for concurrent use.
type Client struct {
	conn *nats.Conn
	js   jetstream.JetStream
}

// New is a client over a connection.
func New(conn *nats.Conn) *Client { return NewWith(conn, conn) }

// NewWith is a client that speaks to JetStream over another connection. Services
// learn the inboxes that they answer to, and one whose key was stolen could have the
// server deliver there what would pass for JetStream's answer.
func NewWith(conn, log *nats.Conn) *Client {
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
	// ErrAbsent means that nobody serves the subject: the service is down.
	ErrAbsent = errors.New("nobody answers: the service is down")
	// ErrSilent means that no answer came in time: the request may have taken
	// effect or not.
	ErrSilent = errors.New("no answer came")
)

// Send sends a command and waits for its answer, as long as ctx allows. A
// command without an id gets a fresh one. Errors are refusals; Unavailable
// wraps ErrAbsent when the service is down. When it wraps ErrSilent, or comes from
// the service itself, the command may have taken effect: send it again with the
// same id, or Defer it.
func (c *Client) Send(ctx context.Context, cmd wire.Wish, env envelope.Envelope) (Reply, error) {
	if err := cmd.Check(); err != nil {
		return Reply{}, err
	}
	data, err := json.Marshal(cmd)
	if err != nil {
		return Reply{}, err
	}
	if env.ID == "" {
		env.ID = envelope.NewID()
	}
	msg, err := c.request(ctx, "commands."+cmd.Command(), env, data)
	if err != nil {
		return Reply{}, err
	}
	return Reply{
		Body:     msg.Data,
		EntityID: msg.Header.Get(wire.HeaderEntity),
		Position: msg.Header.Get(wire.HeaderPosition),
		Replayed: msg.Header.Get(wire.HeaderReplayed) == "true",
	}, nil
}

// Ask sends a query and waits for its answer, as long as ctx allows. Errors are
// as Send's.
func (c *Client) Ask(ctx context.Context, q interface{ Query() string }, env envelope.Envelope) (json.RawMessage, error) {
	body, _, err := c.AskAt(ctx, q, env)
	return body, err
}

// AskAt is Ask, and tells how far the view stands that answered, as a
// consistency token: with it, another replica shows no less.
func (c *Client) AskAt(ctx context.Context, q interface{ Query() string }, env envelope.Envelope) (body json.RawMessage, position string, err error) {
	data, err := json.Marshal(q)
	if err != nil {
		return nil, "", err
	}
	msg, err := c.request(ctx, "queries."+q.Query(), env, data)
	if err != nil {
		return nil, "", err
	}
	return msg.Data, msg.Header.Get(wire.HeaderPosition), nil
}

func (c *Client) request(ctx context.Context, subject string, env envelope.Envelope, data []byte) (*nats.Msg, error) {
	msg, err := access.Request(ctx, c.conn, &nats.Msg{Subject: subject, Header: env.Header(), Data: data})
	if err != nil {
		return nil, unanswered(subject, err)
	}
	return msg, refusedBy(subject, msg)
}

// unanswered says what it means that no answer came.
func unanswered(subject string, err error) error {
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("%w: %w", refusal.New(refusal.Unavailable, "the service behind %s is down", subject), ErrAbsent)
	}
	return fmt.Errorf("%w: %w", refusal.New(refusal.Unavailable, "no answer from %s", subject), errors.Join(ErrSilent, err))
}

// refusedBy is the refusal that an answer is, nil when it is none.
func refusedBy(subject string, msg *nats.Msg) error {
	if msg.Header.Get(wire.HeaderErrorCode) == "" {
		return nil
	}
	var r refusal.Refusal
	if err := json.Unmarshal(msg.Data, &r); err != nil || r.Code == "" {
		return fmt.Errorf("%s was refused: %s", subject, msg.Header.Get(wire.HeaderError))
	}
	if size, err := strconv.Atoi(msg.Header.Get(wire.HeaderSize)); err == nil && size > 0 {
		return &TooLarge{&r, size}
	}
	return &r
}

// Health asks every replica of a service how it does, and returns the answers
// that came before ctx ended, or the first that is ready.
func (c *Client) Health(ctx context.Context, name string) []wire.Health {
	inbox := c.conn.NewRespInbox()
	sub, err := c.conn.SubscribeSync(inbox)
	if err != nil {
		return nil
	}
	defer sub.Unsubscribe()
	if err := c.conn.PublishRequest("health."+name, inbox, nil); err != nil {
		return nil
	}
	var all []wire.Health
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return all
		}
		if msg.Subject != inbox || access.CheckAnswer(msg) != nil {
			continue
		}
		var h wire.Health
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
