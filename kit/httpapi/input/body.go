package input

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/sync/semaphore"

	"lonja/kit/errs"
	"lonja/kit/httpapi/problem"
	"lonja/kit/strictjson"
)

// ReadTimeout is how long a body may take to arrive.
const ReadTimeout = 10 * time.Second

const (
	maxBody = 1 << 20 // of any request
	// ownBody is what every request may send without asking for memory: its
	// connection takes as much. So small requests go on when large ones are too many.
	ownBody = 8 << 10
	// allBodies is what the bodies beyond that may take together.
	allBodies = 16 << 20
)

// Memory bounds what all bodies that are being read take together. It is safe
// for concurrent use.
type Memory struct{ room *semaphore.Weighted }

// NewMemory has room for 16 MB of bodies; the first 8 kB of each are not counted.
func NewMemory() *Memory { return &Memory{semaphore.NewWeighted(allBodies)} }

// Read reads a request's body, of at most 1 MB. Release gives the memory that it
// takes back to the others, and must be called when the body is no longer
// needed; it is nil when there is an error, which is a *problem.Problem. What is
// beyond the limit of all bodies is refused at once, with status 503: a body takes
// memory as it arrives, not as it is announced, so to keep others waiting means to
// send as much.
func (m *Memory) Read(w http.ResponseWriter, r *http.Request) (raw []byte, release func(), err error) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(ReadTimeout))
	// Lifted again: it would end a request whose answer takes longer.
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	if r.ContentLength > maxBody {
		return nil, nil, tooLarge()
	}
	var held int64
	giveBack := func() { m.room.Release(held) }
	defer func() {
		if err != nil {
			giveBack()
		}
	}()
	raw = make([]byte, 0, ownBody)
	for {
		n, err := r.Body.Read(raw[len(raw):cap(raw)])
		raw = raw[:len(raw)+n]
		switch {
		case errors.Is(err, io.EOF) && len(raw) == 0:
			return nil, nil, problem.Malformed("a body is required")
		case errors.Is(err, io.EOF):
			return raw, giveBack, nil
		case err != nil:
			return nil, nil, problem.Malformed("the body could not be read")
		case len(raw) > maxBody:
			return nil, nil, tooLarge()
		case len(raw) < cap(raw):
			continue
		}
		more := int64(min(cap(raw), maxBody+1-cap(raw)))
		if !m.room.TryAcquire(more) {
			return nil, nil, problem.New(http.StatusServiceUnavailable, errs.Unavailable,
				"too much is being sent at the moment; send it again a little later").With("Retry-After", "1")
		}
		held += more
		raw = append(make([]byte, 0, int64(cap(raw))+more), raw...)
	}
}

func tooLarge() *problem.Problem {
	return problem.New(http.StatusRequestEntityTooLarge, errs.Invalid, "the body is too large: it may have 1 MB")
}

// Parse reads a JSON body strictly into a value; see strictjson. Nothing that
// its schema requires may be missing. The error is a *problem.Problem with status
// 400 when the body is no JSON, or else says which fields are wrong.
func Parse(registry huma.Registry, schema *huma.Schema, raw []byte, into any) error {
	if err := strictjson.Check(raw); err != nil {
		return problem.Malformed("the body is " + err.Error())
	}
	if faults := inspect(registry, schema, raw); len(faults) > 0 {
		return problem.Faulty(faults)
	}
	return strictjson.Decode(raw, into)
}

// CheckContent refuses a body that says to be something else than one of these
// media types, in UTF-8 and as it is: status 415. One that says nothing is taken
// for JSON.
func CheckContent[T any](h http.Header, taken map[string]T) error {
	for _, coding := range h["Content-Encoding"] {
		if !strings.EqualFold(coding, "identity") {
			return unsupported("Content-Encoding", "the body must be sent as it is, without Content-Encoding: "+strictjson.Truncate(coding)).
				With("Accept-Encoding", "identity")
		}
	}
	sent := h["Content-Type"]
	if len(sent) == 0 || len(sent) == 1 && sent[0] == "application/json" {
		return nil
	}
	kind, params, err := mime.ParseMediaType(sent[0])
	if _, takes := taken[kind]; err != nil || len(sent) > 1 || !takes {
		return unsupported("Content-Type", "the body must be sent as Content-Type: application/json")
	}
	if charset, given := params["charset"]; given && !strings.EqualFold(charset, "utf-8") {
		return unsupported("Content-Type", "the body must be sent in UTF-8, not in "+strictjson.Truncate(charset))
	}
	return nil
}

func unsupported(header, detail string) *problem.Problem {
	p := problem.New(http.StatusUnsupportedMediaType, errs.Invalid, detail)
	p.Field = header
	return p
}
