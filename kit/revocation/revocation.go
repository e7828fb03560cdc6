// Package revocation takes access tokens back before they expire. What ends
// the trust in a user's tokens, a logout for instance, is an event on a stream
// of events; the tokens that were signed before its sequence are refused from
// then on, by every gateway and every service. A token says at which sequence
// of that stream it was signed, so no clock decides, and the token that a user
// gets next is good at once and everywhere.
//
// The last such sequence of each user is kept on a stream of its own for longer
// than a token can live:
//
//	revocations.<user>    {"before": 17}
package revocation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
)

// Stream holds the revocations, one for each user.
const Stream = "REVOCATIONS"

// Kept is how long a revocation is kept: far longer than a token lives, for the
// clocks of whoever judges its age may be more than an hour apart. It is the
// stream's max_age.
const Kept = 2 * time.Hour

const prefix = "revocations."

// body is that of a revocation.
type body struct {
	Before uint64 `json:"before"`
}

// PermissionsToRevoke is what Revoke takes.
func PermissionsToRevoke() natsauth.Permissions {
	g := natsauth.AllowRead(Stream)
	g.Add(natsauth.AllowPublish(prefix + "*"))
	return g
}

// PermissionsToFollow is what a List takes.
func PermissionsToFollow() natsauth.Permissions { return natsauth.AllowRead(Stream) }

// Revoke makes the access tokens of a user worthless that were signed before a
// sequence. To do it again changes nothing, nor does an earlier sequence that
// comes late. An Unavailable refusal means that it is not done yet.
func Revoke(ctx context.Context, js jetstream.JetStream, user string, before uint64) error {
	stream, err := js.Stream(ctx, Stream)
	if err != nil {
		return unavailable(err)
	}
	var last uint64
	switch was, err := stream.GetLastMsgForSubject(ctx, prefix+user); {
	case err == nil:
		last = was.Sequence
		if b, err := parse(was.Data); err == nil && b.Before >= before {
			return nil
		}
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return unavailable(err)
	}
	data, err := json.Marshal(body{before})
	if err != nil {
		return err
	}
	_, err = js.PublishMsg(ctx, &nats.Msg{Subject: prefix + user, Data: data, Header: nats.Header{
		jetstream.ExpectedStreamHeader:      {Stream},
		jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(last, 10)},
	}})
	if err != nil {
		return unavailable(err) // another replica was faster, too: the next try sees what it wrote
	}
	return nil
}

func unavailable(err error) error {
	return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "the tokens could not be revoked yet"), err)
}

// parse reads a revocation.
func parse(data []byte) (b body, err error) { return b, json.Unmarshal(data, &b) }

// read is whose tokens a message of the stream revokes, and those before which
// sequence.
func read(r eventlog.Record) (user string, before uint64, err error) {
	user, ok := strings.CutPrefix(r.Subject, prefix)
	b, err := parse(r.Data)
	if err == nil && !ok {
		err = fmt.Errorf("subject %s is none of a revocation", r.Subject)
	}
	return user, b.Before, err
}
