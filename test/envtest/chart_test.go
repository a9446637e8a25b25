package envtest

import (
	"bytes"
	"fmt"
	"math"
	"strings"
)

// A point is a value that was measured at a number of clusters, or members.
type point struct {
	at    int
	value float64
}

// chart is an SVG of four panels. Its colors can be read on a light page and on a dark one.
func (g *growing) chart() []byte {
	const style = `<style>
text { font: 12px sans-serif; fill: #7d8590 } .title { font-size: 13px; font-weight: bold } .value { font-size: 11px; fill: #2f81f7 }
.axis { stroke: #7d8590 } .grid { stroke: #7d8590; stroke-opacity: .3 } .line { fill: none; stroke: #2f81f7; stroke-width: 2 } .dot { fill: #2f81f7 }
</style>`
	byClusters := func(value func(step) float64) (points []point) {
		for _, s := range g.steps {
			points = append(points, point{s.clusters, value(s)})
		}
		return points
	}
	panels := []panel{
		{"Memory, MiB", "clusters of three nodes", byClusters(func(s step) float64 { return mebibytes(s.held) })},
		{"CPU of a pass, ms", "clusters of three nodes", byClusters(func(s step) float64 { return milliseconds(s.pass) })},
		{"A start, s", "clusters of three nodes", byClusters(func(s step) float64 { return s.start.Seconds() })},
		{"CPU of a pass, ms", "nodes of the cluster", g.members},
	}
	var svg bytes.Buffer
	fmt.Fprintf(&svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"Memory, CPU and start of the manager by the number of clusters and nodes\">\n%s\n", 2*panelWidth, 2*panelHeight, style)
	for i, p := range panels {
		fmt.Fprintf(&svg, "<g transform=\"translate(%d,%d)\">\n%s</g>\n", i%2*panelWidth, i/2*panelHeight, p.drawn())
	}
	return append(svg.Bytes(), "</svg>\n"...)
}

// A panel has the number on a logarithmic axis, and the value on a linear one from 0.
type panel struct {
	title, below string
	points       []point
}

// The size of a panel, and the space around its axes.
const (
	panelWidth, panelHeight  = 380, 250
	left, right, top, bottom = 48, 30, 40, 48
)

func (p panel) drawn() string {
	var g strings.Builder
	fmt.Fprintf(&g, "<text class=\"title\" x=\"%d\" y=\"20\">%s</text>\n<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
		left, p.title, (left+panelWidth-right)/2, panelHeight-12, p.below)
	highest := p.highest()
	y := func(value float64) float64 { return panelHeight - bottom - value/highest*(panelHeight-top-bottom) }
	for i := range 5 {
		value := highest * float64(i) / 4
		class := map[bool]string{true: "axis", false: "grid"}[i == 0]
		fmt.Fprintf(&g, "<line class=\"%s\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3g</text>\n",
			class, left, panelWidth-right, y(value), y(value), left-6, y(value)+4, value)
	}
	var line []string
	for _, point := range p.points {
		at := fmt.Sprintf("%.1f,%.1f", p.x(point.at), y(point.value))
		line = append(line, at)
		fmt.Fprintf(&g, "<circle class=\"dot\" r=\"3.5\" transform=\"translate(%s)\"/><text class=\"value\" text-anchor=\"end\" transform=\"translate(%s)\" x=\"8\" y=\"-8\">%.3g</text>\n", at, at, point.value)
		fmt.Fprintf(&g, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%d</text>\n", p.x(point.at), panelHeight-bottom+17, point.at)
	}
	fmt.Fprintf(&g, "<polyline class=\"line\" points=\"%s\"/>\n", strings.Join(line, " "))
	return g.String()
}

// x is where a number is on the axis.
func (p panel) x(at int) float64 {
	first, last := math.Log(float64(p.points[0].at)), math.Log(float64(p.points[len(p.points)-1].at))
	return left + 12 + (math.Log(float64(at))-first)/max(last-first, 1)*(panelWidth-left-right-24)
}

// highest is a number above all values whose quarters are short to write.
func (p panel) highest() float64 {
	highest := 0.0
	for _, point := range p.points {
		highest = max(highest, point.value)
	}
	magnitude := math.Pow(10, math.Floor(math.Log10(highest)))
	for _, step := range []float64{1, 2, 4, 6, 8} {
		if highest <= step*magnitude {
			return step * magnitude
		}
	}
	return 10 * magnitude
}
