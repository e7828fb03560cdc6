package gateway

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"time"

	"lonja/kit/errs"
	"lonja/kit/strictjson"
)

const (
	maxBody     = 1 << 20          // of any request
	readTimeout = 10 * time.Second // for a body to arrive
	// ownBody is what every request may send without asking for memory: its
	// connection takes as much. So small requests go on when large ones are too many.
	ownBody = 8 << 10
	// allBodies is what the bodies beyond that may take together.
	allBodies = 16 << 20
)

// payload says that a route takes a JSON body that is to be a T. Embed it into
// the route's input.
type payload[T any] struct{}

func (payload[T]) bodyType() reflect.Type { return reflect.TypeFor[T]() }

// decode reads the body, or says which field is wrong.
func (payload[T]) decode(c *call) (T, error) { return decode[T](c) }

// decode reads a JSON body strictly: see strictjson, and nothing that is
// required may be missing. What is no JSON is a problem with status 400;
// anything else that is wrong, with 422 and the fields' names, a few at most.
func decode[T any](c *call) (v T, err error) {
	raw, release, err := c.body()
	if err != nil {
		return v, err
	}
	defer release()
	err = c.parse(raw, &v)
	return v, err
}

// parse is decode for a body that was read.
func (c *call) parse(raw []byte, into any) error {
	if err := strictjson.Check(raw); err != nil {
		return malformed("the body is " + err.Error())
	}
	if faults := inspect(c.registry(), c.route.body, raw); len(faults) > 0 {
		return faulty(http.StatusUnprocessableEntity, faults)
	}
	return strictjson.Decode(raw, into)
}

// checkContent refuses bodies that say to be something else than what the
// route takes. Those that say nothing are taken for JSON.
func (c *call) checkContent() error {
	for _, coding := range c.r.Header["Content-Encoding"] {
		if !strings.EqualFold(coding, "identity") {
			return unsupported("Content-Encoding", "the body must be sent as it is, without Content-Encoding: "+strictjson.Shorten(coding)).
				with("Accept-Encoding", "identity")
		}
	}
	sent := c.r.Header["Content-Type"]
	if len(sent) == 0 || len(sent) == 1 && sent[0] == "application/json" {
		return nil
	}
	kind, params, err := mime.ParseMediaType(sent[0])
	if err != nil || len(sent) > 1 || c.route.RequestBody.Content[kind] == nil {
		return unsupported("Content-Type", "the body must be sent as Content-Type: application/json")
	}
	if charset, given := params["charset"]; given && !strings.EqualFold(charset, "utf-8") {
		return unsupported("Content-Type", "the body must be sent in UTF-8, not in "+strictjson.Shorten(charset))
	}
	return nil
}

func unsupported(header, detail string) *problem {
	p := newProblem(http.StatusUnsupportedMediaType, errs.Invalid, detail)
	p.Field = header
	return p
}

// body reads a request's body. Release gives the memory that it takes back to
// the others, and must be called when the body is no longer needed. There is a
// limit to what all bodies may take, and what is beyond it is refused at once: a
// body takes memory as it arrives, not as it is announced, so to keep others
// waiting means to send as much.
func (c *call) body() (raw []byte, release func(), err error) {
	rc := http.NewResponseController(c.w)
	_ = rc.SetReadDeadline(time.Now().Add(readTimeout))
	// Lifted again: it would end a request whose answer takes longer.
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	if c.r.ContentLength > maxBody {
		return nil, nil, tooLarge()
	}
	var held int64
	giveBack := func() { c.bodies.Release(held) }
	defer func() {
		if err != nil {
			giveBack()
		}
	}()
	raw = make([]byte, 0, ownBody)
	for {
		n, err := c.r.Body.Read(raw[len(raw):cap(raw)])
		raw = raw[:len(raw)+n]
		switch {
		case errors.Is(err, io.EOF) && len(raw) == 0:
			return nil, nil, malformed("a body is required")
		case errors.Is(err, io.EOF):
			return raw, giveBack, nil
		case err != nil:
			return nil, nil, malformed("the body could not be read")
		case len(raw) > maxBody:
			return nil, nil, tooLarge()
		case len(raw) < cap(raw):
			continue
		}
		more := int64(min(cap(raw), maxBody+1-cap(raw)))
		if !c.bodies.TryAcquire(more) {
			return nil, nil, newProblem(http.StatusServiceUnavailable, errs.Unavailable,
				"too much is being sent at the moment; send it again a little later").with("Retry-After", "1")
		}
		held += more
		raw = append(make([]byte, 0, int64(cap(raw))+more), raw...)
	}
}

func tooLarge() *problem {
	return newProblem(http.StatusRequestEntityTooLarge, errs.Invalid, "the body is too large: it may have 1 MB")
}

func malformed(detail string) *problem {
	return newProblem(http.StatusBadRequest, errs.Invalid, detail)
}
