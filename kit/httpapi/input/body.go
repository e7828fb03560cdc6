package input

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/sync/semaphore"

	"lonja/kit/errs"
	"lonja/kit/httpapi/problem"
	"lonja/kit/strictjson"
)

// ReadTimeout bounds the time in which a body must arrive.
const ReadTimeout = 10 * time.Second

const (
	maxBody = 1 << 20 // bytes of one body
	// uncountedBody is the part of every body that does not count against maxBodies: the
	// connection itself takes as much memory. So small requests are still served when
	// there are too many large ones.
	uncountedBody = 8 << 10
	// maxBodies bounds the bytes of all bodies together, beyond uncountedBody each.
	maxBodies = 16 << 20
)

// Memory bounds the memory of all bodies that are in use. It is safe for concurrent use.
type Memory struct{ budget *semaphore.Weighted }

// NewMemory returns a Memory for 16 MB of bodies. The first 8 KB of each body are not
// counted.
func NewMemory() *Memory { return &Memory{semaphore.NewWeighted(maxBodies)} }

// Read reads a request's body, of at most 1 MB. The caller must call release once, when
// the body is no longer needed; it is nil when there is an error.
//
// The error is a *problem.Problem: status 400 when there is no body or it breaks off, 413
// when it is too large, and 503 at once when all bodies together reach the bound. A body
// takes memory only as it arrives, so a client can block others only by sending that much.
func (m *Memory) Read(w http.ResponseWriter, r *http.Request) (raw []byte, release func(), err error) {
	raw, release, err = m.ReadOptional(w, r)
	if err == nil && len(raw) == 0 {
		release()
		return nil, nil, problem.Malformed("a body is required")
	}
	return raw, release, err
}

// ReadOptional is Read for a body that may be missing. It is then empty.
func (m *Memory) ReadOptional(w http.ResponseWriter, r *http.Request) (raw []byte, release func(), err error) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(ReadTimeout))
	// Clear the deadline, or it would end a request whose response takes longer.
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	if r.ContentLength > maxBody {
		return nil, nil, tooLarge()
	}
	var held int64
	releaseAll := func() { m.budget.Release(held) }
	defer func() {
		if err != nil {
			releaseAll()
		}
	}()
	raw = make([]byte, 0, uncountedBody)
	for {
		n, err := r.Body.Read(raw[len(raw):cap(raw)])
		raw = raw[:len(raw)+n]
		switch {
		case errors.Is(err, io.EOF):
			return raw, releaseAll, nil
		case err != nil:
			return nil, nil, problem.Malformed("the body could not be read")
		case len(raw) > maxBody:
			return nil, nil, tooLarge()
		case len(raw) < cap(raw):
			continue
		}
		more := int64(min(cap(raw), maxBody+1-cap(raw)))
		if !m.budget.TryAcquire(more) {
			return nil, nil, problem.New(http.StatusServiceUnavailable, errs.Unavailable,
				"too many large requests are being received at the moment; try again").With("Retry-After", "1")
		}
		held += more
		raw = append(make([]byte, 0, int64(cap(raw))+more), raw...)
	}
}

func tooLarge() *problem.Problem { return TooLarge(maxBody) }

// TooLarge returns a problem with status 413 for a body of more than so many bytes.
func TooLarge(most int) *problem.Problem {
	size := strconv.Itoa(most>>10) + " KB"
	if most >= 1<<20 {
		size = strconv.Itoa(most>>20) + " MB"
	}
	return problem.New(http.StatusRequestEntityTooLarge, errs.Invalid, "the body is too large: at most "+size+" is allowed")
}

// Parse validates a JSON body against its schema and decodes it strictly into a value; see
// package strictjson. The error is a *problem.Problem with status 400 when the body is not
// JSON, and 422 with the invalid fields otherwise.
func Parse(registry huma.Registry, schema *huma.Schema, raw []byte, into any) error {
	if err := strictjson.Check(raw); err != nil {
		return problem.Malformed("the body is " + err.Error())
	}
	if faults := inspect(registry, schema, raw); len(faults) > 0 {
		return problem.InvalidFields(faults)
	}
	return strictjson.Decode(raw, into)
}

// CheckContent returns a problem with status 415 unless the headers declare one of the
// accepted media types (the keys of the map), in UTF-8 and without a content coding. A body
// without a Content-Type counts as JSON.
func CheckContent[T any](h http.Header, accepted map[string]T) error {
	for _, coding := range h["Content-Encoding"] {
		if !strings.EqualFold(coding, "identity") {
			return unsupported("Content-Encoding", "the body must be sent unencoded, without Content-Encoding: "+strictjson.Truncate(coding)).
				With("Accept-Encoding", "identity")
		}
	}
	values := h["Content-Type"]
	if len(values) == 0 || len(values) == 1 && values[0] == "application/json" {
		return nil
	}
	mediaType, params, err := mime.ParseMediaType(values[0])
	if _, ok := accepted[mediaType]; err != nil || len(values) > 1 || !ok {
		return unsupported("Content-Type", "the body must be sent as Content-Type: application/json")
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return unsupported("Content-Type", "the body must be sent in UTF-8, not in "+strictjson.Truncate(charset))
	}
	return nil
}

func unsupported(header, detail string) *problem.Problem {
	p := problem.New(http.StatusUnsupportedMediaType, errs.Invalid, detail)
	p.Field = header
	return p
}
