package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
)

// ClaimStream is the stream of the claims of effects: the last message on
// "claims.<effect>.<number>" says who works on the event with the number, or when the next
// call may be made. It keeps one message for each subject, and each for longer than the
// longest Effect.Patience. No claim is an event: without them, calls are made again.
const ClaimStream = "CLAIMS"

// ClaimSubject returns the subject of the claim on the event with a number, for an effect.
func ClaimSubject(effect, number string) string { return "claims." + effect + "." + number }

// Claim is what the stream says of an effect's event.
type Claim struct {
	Owner  string    `json:"owner,omitempty"`  // the run of a service that works on it
	Until  time.Time `json:"until"`            // by the server's time: until then no other one may
	Tries  int       `json:"tries"`            // calls that were begun
	Reason string    `json:"reason,omitempty"` // why the last one failed

	sequence uint64 // of the claim's message, 0 for none
}

// takeClaim claims the event with a number for one more call. Mine is nil if it is another's turn,
// or nobody's yet; then free says when to ask again. The error is errs.Unavailable if the stream
// does not answer.
func (d *deps) takeClaim(ctx context.Context, e *Effect, number uint64) (mine *Claim, free time.Time, err error) {
	c, err := d.claim(ctx, e, number)
	if err != nil {
		return nil, free, err
	}
	now := d.Clock()
	if c.Until.After(now) && c.Owner != d.run {
		return nil, c.Until, nil
	}
	if c.Owner != d.run { // otherwise what came of the call could not be recorded
		c.Tries++
	}
	c.Owner, c.Until = d.run, now.Add(e.timeout()+claimMargin)
	switch err := d.putClaim(ctx, e, number, c); {
	case eventlog.IsConflict(err): // another replica was faster
		return nil, now.Add(e.timeout() / 4), nil
	case err != nil:
		return nil, free, err
	}
	return c, free, nil
}

// releaseClaim ends a claim after a call that has failed. The next call may be made at a time.
func (d *deps) releaseClaim(ctx context.Context, e *Effect, number uint64, c *Claim, next time.Time, reason error) error {
	c.Owner, c.Until, c.Reason = "", next, fmt.Sprintf("%.500s", reason.Error())
	err := d.putClaim(ctx, e, number, c)
	if eventlog.IsConflict(err) {
		return nil // it had ended, and another replica goes on
	}
	return err
}

// claim returns what the stream says of the event with a number; that may be out of date.
func (d *deps) claim(ctx context.Context, e *Effect, number uint64) (*Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c := &Claim{}
	stream, err := d.js.Stream(ctx, ClaimStream)
	if err != nil {
		return nil, unavailable("claims cannot be read now", err)
	}
	m, err := stream.GetLastMsgForSubject(ctx, ClaimSubject(e.Name, strconv.FormatUint(number, 10)))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return c, nil
	}
	if err != nil {
		return nil, unavailable("claims cannot be read now", err)
	}
	c.sequence = m.Sequence
	if err := json.Unmarshal(m.Data, c); err != nil {
		return &Claim{sequence: m.Sequence}, nil // not by this program: as if it had ended
	}
	return c, nil
}

// putClaim stores a claim if nobody else has since it was read. The error is JetStream's
// conflict if somebody has.
func (d *deps) putClaim(ctx context.Context, e *Effect, number uint64, c *Claim) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	m := nats.NewMsg(ClaimSubject(e.Name, strconv.FormatUint(number, 10)))
	m.Data = data
	m.Header.Set(jetstream.ExpectedStreamHeader, ClaimStream)
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(c.sequence, 10))
	ack, err := d.js.PublishMsg(ctx, m)
	if err != nil {
		if eventlog.IsConflict(err) {
			return err
		}
		return unavailable("claims cannot be stored now", err)
	}
	c.sequence = ack.Sequence
	return nil
}
