package asyncapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// Links are the addresses that a page links to; "" leaves a link out.
type Links struct {
	Document string // the document as JSON
	HTTPAPI  string // the documentation of the services' HTTP API
}

// section is a part of the page: the events of one type of entity, or all commands, …
type section struct {
	ID, Title, Stream, Private string
	Events                     bool // in this section
	Entries                    []entry
}

// entry is a channel as the page shows it.
type entry struct {
	Key, Address, Says, Stream string
	Messages                   []shown
	Answers                    []shown
	Senders                    []string
	Reactions, Views           []string // services, each with its consumer or view
}

// shown is a message as the page shows it.
type shown struct {
	Name, Title, Says string
	Headers           []string // the names of their schemas
	Fields            []field
}

// field is a member of a payload, or a header.
type field struct {
	Path, Type, Says string
	Required         bool
}

// Page returns the document as a page of HTML and the Content-Security-Policy to serve
// it with. The page has no script and loads nothing.
func (d *Document) Page(links Links) (page []byte, policy string, err error) {
	sum := sha256.Sum256([]byte(pageCSS))
	policy = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; frame-ancestors 'none'; base-uri 'none'"
	var headers []shown
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		if title, is := strings.CutPrefix(name, "headers."); is {
			s := d.Components.Schemas[name]
			headers = append(headers, shown{Name: name, Title: title, Says: s.Description, Fields: d.fields("", s)})
		}
	}
	var b bytes.Buffer
	err = pageTemplate.Execute(&b, map[string]any{"CSS": template.CSS(pageCSS), "Info": d.Info, "Links": links,
		"Paragraphs": strings.Split(d.Info.Description, "\n\n"), "Sections": d.sections(), "Headers": headers})
	return b.Bytes(), policy, err
}

// sections are the sections of the page: the events by type of entity, then the other
// channels by kind.
func (d *Document) sections() []section {
	byTitle := map[string]*section{}
	var order []*section
	for _, key := range slices.Sorted(maps.Keys(d.Channels)) {
		c := d.Channels[key]
		id, title := string(c.kind), strings.ToUpper(string(c.kind[:1]))+string(c.kind[1:])
		if c.kind == Answers {
			continue // each is shown with its request
		}
		if c.kind == Events {
			entity := entityOf(c.pattern)
			id, title = "events-"+entity, "Events of "+entity
		}
		s := byTitle[title]
		if s == nil {
			s = &section{ID: id, Title: title, Events: c.kind == Events}
			byTitle[title] = s
			order = append(order, s)
		}
		e := d.entry(key, c)
		if c.kind == Events && c.XJetStream != nil {
			s.Stream, s.Private, e.Stream = c.XJetStream.Stream, c.XJetStream.Private, ""
		}
		s.Entries = append(s.Entries, e)
	}
	slices.SortStableFunc(order, func(a, b *section) int { return rank(a.ID) - rank(b.ID) })
	var all []section
	for _, s := range order {
		all = append(all, *s)
	}
	return all
}

// entityOf is the type of entity in an event's subject: what precedes the entity's id.
func entityOf(pattern string) string {
	before, _, _ := strings.Cut(pattern, ".*")
	return before[strings.LastIndexByte(before, '.')+1:]
}

// rank puts events first, then requests, then the rest.
func rank(id string) int {
	for i, kind := range []string{"events-", string(Commands), string(Queries), string(Changes)} {
		if strings.HasPrefix(id, kind) {
			return i
		}
	}
	return 9
}

func (d *Document) entry(key string, c *Channel) entry {
	e := entry{Key: key, Address: c.Address, Says: c.Description}
	if c.XJetStream != nil {
		e.Stream = c.XJetStream.Stream
	}
	for _, name := range slices.Sorted(maps.Keys(c.Messages)) {
		e.Messages = append(e.Messages, d.shown(d.Message(c.Messages[name])))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Operations)) {
		o := d.Operations[name]
		if d.ChannelOf(o) != c {
			continue
		}
		if o.Action == "send" {
			e.Senders = append(e.Senders, o.XService)
			continue
		}
		for _, consumer := range o.XConsumers {
			e.Reactions = append(e.Reactions, o.XService+" ("+consumer+")")
		}
		for _, view := range o.XViews {
			e.Views = append(e.Views, o.XService+" ("+view+")")
		}
		if o.Reply != nil {
			e.Reactions = append(e.Reactions, o.XService)
			if answer := d.Message(o.Reply.Messages[0]); answer != nil {
				e.Answers = append(e.Answers, d.shown(answer))
			}
		}
	}
	return e
}

func (d *Document) shown(m *Message) shown {
	s := shown{Name: m.Name, Title: m.Title, Says: m.Summary, Fields: d.fields("", m.Payload)}
	if m.Headers != nil {
		for _, h := range append([]*huma.Schema{m.Headers}, m.Headers.AllOf...) {
			if h.Ref != "" {
				s.Headers = append(s.Headers, strings.TrimPrefix(h.Ref, schemaPrefix))
			}
		}
	}
	return s
}

// resolve follows references. Of a schema or null, it returns the schema.
func (d *Document) resolve(s *huma.Schema) (resolved *huma.Schema, orNull bool) {
	orNull = s.Nullable
	for {
		switch {
		case s.Ref != "":
			s = d.Components.Schemas[lastOf(s.Ref)]
		case len(s.AnyOf) > 0:
			s, orNull = s.AnyOf[0], true
		default:
			return s, orNull || s.Nullable
		}
	}
}

// fields are the members of a schema, each followed by its own members.
func (d *Document) fields(path string, s *huma.Schema) (all []field) {
	s, _ = d.resolve(s)
	if s.Type == huma.TypeArray {
		return d.fields(path+"[]", s.Items)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		member := s.Properties[name]
		there, orNull := d.resolve(member)
		at := strings.TrimPrefix(path+"."+name, ".")
		says := member.Description
		if says == "" {
			says = there.Description
		}
		all = append(all, field{at, d.typeOf(there, orNull), says, slices.Contains(s.Required, name)})
		all = append(all, d.fields(at, there)...)
	}
	return all
}

// typeOf describes a type and its limits in a few words.
func (d *Document) typeOf(s *huma.Schema, orNull bool) string {
	words := []string{s.Type}
	switch {
	case s.Type == "":
		words = []string{"anything"}
	case s.Type == huma.TypeArray:
		items, _ := d.resolve(s.Items)
		words = []string{"list of " + d.typeOf(items, false)}
	case len(s.Enum) > 0:
		words = nil
		for _, v := range s.Enum {
			words = append(words, fmt.Sprint(v))
		}
		words = []string{strings.Join(words, " | ")}
	case s.Format != "" && s.Type == huma.TypeString:
		words = append(words, s.Format)
	case s.ContentEncoding != "":
		words = append(words, s.ContentEncoding)
	case s.Pattern != "":
		words = append(words, s.Pattern)
	}
	for limit, says := range map[*float64]string{s.Minimum: "from ", s.Maximum: "to "} {
		if limit != nil {
			words = append(words, says+strconv.FormatFloat(*limit, 'f', -1, 64))
		}
	}
	for limit, says := range map[*int]string{s.MinLength: " or more characters", s.MinItems: " or more", s.MaxItems: " at most"} {
		if limit != nil {
			words = append(words, strconv.Itoa(*limit)+says)
		}
	}
	slices.Sort(words[1:])
	if orNull {
		words = append(words, "or null")
	}
	return strings.Join(words, ", ")
}
