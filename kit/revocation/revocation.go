// Package revocation revokes access tokens before they expire.
//
// An event that ends the trust in a user's tokens, such as a logout, has a sequence in
// the event stream. [Revoke] publishes that sequence, and from then on [List.Check]
// rejects the user's tokens that were signed before it, in every process. A token
// carries the sequence at which it was signed, so no clock is compared, and the next
// token of the user is valid at once and everywhere.
//
// A revocation takes effect within a second, also for a process that was restarted or
// disconnected. A process that cannot ask NATS rejects all tokens of users, after a
// grace period of ten seconds at most.
//
// The last sequence of each user is a message on the stream [Stream], which the
// application creates with max_msgs_per_subject 1 and max_age [Retention]:
//
//	revocations.<user>    {"before": 17}
//
// A session that has ended is revoked as a whole, with [RevokeSession]: no token of it will ever be
// valid again, whenever it was signed, so no sequence is needed. The tokens of the user's other sessions
// stay valid.
package revocation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
)

// Stream is the name of the stream of revocations. It holds one message for each user.
const Stream = "REVOCATIONS"

// Retention is how long a revocation is kept, and the max_age of the stream. Tokens must
// expire in less. It is much longer than they live, because the clocks of the processes
// that check a token's expiry can differ.
const Retention = 2 * time.Hour

const prefix = "revocations."

// Subject returns the subject of the revocation of a user, or of a session, on [Stream]. The id may be "*".
func Subject(id string) string { return prefix + id }

// Ended is the sequence before which all tokens of a session that has ended are revoked.
const Ended = math.MaxUint64

// Revocation is the body of a message on [Stream].
type Revocation struct {
	Before uint64 `json:"before"` // tokens that were signed before this sequence are revoked
}

// PermissionsToRevoke returns the permissions that Revoke requires.
func PermissionsToRevoke() natsauth.Permissions {
	p := natsauth.AllowRead(Stream)
	p.Add(natsauth.AllowPublish(Subject("*")))
	return p
}

// PermissionsToFollow returns the permissions that a List requires.
func PermissionsToFollow() natsauth.Permissions { return natsauth.AllowRead(Stream) }

// Revoke revokes the access tokens of a user that were signed before a sequence. It may
// be repeated, and a lower sequence than the last one changes nothing. An error with the
// code Unavailable means that the tokens may not be revoked yet: call it again. That also
// happens when two processes revoke tokens of one user at the same time.
func Revoke(ctx context.Context, js jetstream.JetStream, user string, before uint64) error {
	stream, err := js.Stream(ctx, Stream)
	if err != nil {
		return unavailable(err)
	}
	var last uint64
	switch previous, err := stream.GetLastMsgForSubject(ctx, Subject(user)); {
	case err == nil:
		last = previous.Sequence
		if m, err := parse(previous.Data); err == nil && m.Before >= before {
			return nil
		}
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return unavailable(err)
	}
	data, err := json.Marshal(Revocation{before})
	if err != nil {
		return err
	}
	_, err = js.PublishMsg(ctx, &nats.Msg{Subject: Subject(user), Data: data, Header: nats.Header{
		jetstream.ExpectedStreamHeader:      {Stream},
		jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(last, 10)},
	}})
	if err != nil {
		return unavailable(err) // including a conflict with another replica; the next attempt reads what that wrote
	}
	return nil
}

// RevokeSession revokes all access tokens of a session that has ended. Sessions and users must not
// have ids in common. It may be repeated; errors are those of Revoke.
func RevokeSession(ctx context.Context, js jetstream.JetStream, session string) error {
	return Revoke(ctx, js, session, Ended)
}

func unavailable(err error) error {
	return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "the tokens could not be revoked yet"), err)
}

func parse(data []byte) (m Revocation, err error) { return m, json.Unmarshal(data, &m) }

// parseRecord returns whose tokens a message of the stream revokes, and before which
// sequence.
func parseRecord(r eventlog.Record) (user string, before uint64, err error) {
	user, ok := strings.CutPrefix(r.Subject, prefix)
	m, err := parse(r.Data)
	if err == nil && !ok {
		err = fmt.Errorf("subject %s is not that of a revocation", r.Subject)
	}
	return user, m.Before, err
}
