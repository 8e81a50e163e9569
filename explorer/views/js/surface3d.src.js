// The 3-D loss surface: a Panel JSComponent drawn with three.js. Bundled to ../surface3d.js by `npm run build`.
//
// Coordinates. "Plane" coordinates are alpha and beta as Python sends them. "World" coordinates are what three.js
// sees: x and y centred on the plane with the floor's shorter side equal to 1, z up, 0 on the floor.
//
// Redraws. Handlers never draw: they note what became stale and ask for one animation frame, so that a batch of
// changed properties costs one redraw, and a moved marker costs nothing but itself and the labels' places.

import * as THREE from 'three';
import { OrbitControls } from 'three/examples/jsm/controls/OrbitControls.js';
import { LineMaterial } from 'three/examples/jsm/lines/LineMaterial.js';
import { LineSegments2 } from 'three/examples/jsm/lines/LineSegments2.js';
import { LineSegmentsGeometry } from 'three/examples/jsm/lines/LineSegmentsGeometry.js';

// ---------------------------------------------------------------------------------------------------- design

const INK = '#101418'; // casings and contour lines: the same in both themes, because the colormap is
const LIGHT = '#ffffff';
const HERE = '#e0187a'; // the marker's magenta

const RELIEF = 0.5; // height of the colour range, as a share of the floor's shorter side
const FLAT_RELIEF = 0.2; // but at least this share of the longer side, or a long valley would look flat
const FIELD_OF_VIEW = 26; // degrees; a long lens, so that equal lengths look nearly equal
const HOME_AZIMUTH = (-58 * Math.PI) / 180;
const HOME_ELEVATION = (33 * Math.PI) / 180;
// Other first views, for what the surface hides in the usual one: quarter turns and elevations, and how much more of the
// tracks and marks they must show (the sum of two shares).
const VIEWS = [HOME_ELEVATION, (58 * Math.PI) / 180].flatMap((elevation, steep) =>
  [0, 1, -1, 2].map((turns) => ({
    azimuth: HOME_AZIMUTH + (turns * Math.PI) / 2,
    elevation,
    reluctance: 0.2 * (turns !== 0) + 0.4 * steep,
  })),
);
const KEY_STEP = (5 * Math.PI) / 180;
const KEY_ZOOM = 1.1;
const LOWEST_POLAR = Math.PI * 0.49; // never below the floor

const MARKER_PX = 24;
const KNOT_PX = 7;
const KNOT_GAP_PX = 8.5;
const DOT_PX = 6.5;
const SIGN_PX = 18;
const NODE_PX = 4.5;
const WIDTH = { minor: 0.8, major: 1.3, casing: 5.5, core: 2.6, ghost: 2, axes: 1 };

// How far each overlay is drawn towards the eye, as a share of its distance: see `Overlay`.
const PULL = { contours: 0.002, nodes: 0.004, strokes: 0.006, knots: 0.0085 };

// How each style of line is broken, in world units: [dash, gap]; none is solid, no dash a row of dots.
const STYLES = { path: null, straight: [0.034, 0.03], aligned: [0.014, 0.022], curve: [0, 0.03] };

// Signs of places: corners on a circle, or arms to them; how they are turned, fill and outline.
const SIGNS = {
  start: { corners: 4, turn: Math.PI / 4, fill: LIGHT, edge: INK, size: 0.72 },
  final: { corners: 4, turn: 0, fill: INK, edge: LIGHT, size: 1 },
  shadow: { corners: 4, turn: 0, fill: LIGHT, edge: INK, size: 0.9 },
  barrier: { corners: 3, turn: -Math.PI / 2, fill: LIGHT, edge: INK, size: 0.9 },
  drop: { corners: 3, turn: Math.PI / 2, fill: LIGHT, edge: INK, size: 0.9 },
  ...Object.fromEntries(['best', 'minimum', 'maximum'].map((kind) => [kind, { arms: true, turn: 0, size: 0.75 }])),
  saddle: { arms: true, turn: Math.PI / 4, size: 0.75 },
};
const NAME_GAP = 15; // px between a named place and the middle of its name
const NAME_SIDE = 12; // px between a named place and the end of its name
const NAME_FARTHER = 7; // px by which a name gives way where the marker is at its place
const SIGN_SHARE = 0.75; // of a sign's texture is drawn

// Contours keep only the points they need: software renderers pay for every segment.
const PEN_SLACK = 0.0008; // world units, about a third of a pixel
const PEN_REACH = 8; // points at most

const VIEW_PADDING = 6; // px between the card's edge and the outermost label
const LABEL_GAP = 8; // px between an axis and its tick labels
const TITLE_GAP = 3; // px between tick labels and the axis title
const MAX_NUDGE = 14; // px by which a label may be pushed to stay inside the card
const Z_LABEL_MIN = 34; // px kept free for the height labels, so that new values do not move the camera
const Z_AXIS_MIN = 40; // px; seen from above, a shorter height axis says nothing and is left out
const TICK_LENGTH = 0.012; // world units

// While the view is turned, frames that come late are drawn in fewer pixels, until it rests.
const LATE = 22; // ms from frame to frame: sixty a second leave 16.7, fifty 20
const FRAMES = 4; // whose middle counts
const SHARPNESS = [1, 0.7, 0.5]; // pixels of a line, as a share of the screen's
const HELPFUL = 0.85; // with fewer pixels, frames take this share of the time at most, or it is not they that take it
const REST = 250; // ms, or three frames

const FALLBACK = {
  light: { edge: '#828b95', ink: '#14181d', ink2: '#48515b', card: '#ffffff' },
  dark: { edge: '#6d7782', ink: '#eef1f4', ink2: '#b9c1ca', card: '#161a1f' },
};

const NO_WEBGL = 'The 3-D surface needs WebGL, which this browser has turned off. The map shows the same values.';

const CSS = `
  .s3-box { position: relative; width: 100%; height: 100%; min-height: 10rem; overflow: hidden; }
  .s3-canvas { position: absolute; inset: 0; width: 100%; height: 100%; display: block; cursor: grab; outline: none; }
  .s3-canvas:active { cursor: grabbing; }
  .s3-canvas:focus-visible { outline: 2px solid var(--s3-ink); outline-offset: -2px; border-radius: 6px; }
  .s3-labels { position: absolute; inset: 0; overflow: hidden; pointer-events: none; user-select: none;
    font-family: var(--font, system-ui, "Liberation Sans", Arial, sans-serif); font-variant-numeric: tabular-nums; }
  .s3-label { position: absolute; left: 0; top: 0; line-height: 1.25; white-space: nowrap; will-change: transform;
    text-shadow: 0 0 2px var(--s3-card), 0 0 3px var(--s3-card), 0 0 4px var(--s3-card); }
  .s3-tick { font-size: var(--fs-caption, 0.75rem); color: var(--s3-ink-2); }
  .s3-name { font-size: var(--fs-small, 0.8125rem); font-weight: 600; color: ${INK};
    text-shadow: ${Array(4).fill(`0 0 2px ${LIGHT}`).join()}, 0 0 3px ${LIGHT}; }
  .s3-title { font-size: var(--fs-small, 0.8125rem); color: var(--s3-ink); }
  .s3-message { margin: 0; padding: 1rem; color: var(--s3-ink-2); max-width: 34em;
    font: var(--fs-small, 0.8125rem) / 1.45 var(--font, system-ui, sans-serif); }
`;

// --------------------------------------------------------------------------------------------------- helpers

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Number of rows of a flat (n, columns) array, which may be missing. */
const rowCount = (array, columns) => (array ? Math.floor(array.length / columns) : 0);

/** Ticks at 1, 2 or 5 times a power of ten: [value, text] with a true minus sign. */
function niceTicks(low, high, wanted = 4) {
  const span = high - low;
  if (!(span > 0) || !Number.isFinite(span)) return [];
  const power = 10 ** Math.floor(Math.log10(span / wanted));
  const step = [1, 2, 5, 10].find((factor) => factor * power * wanted >= span * 0.999) * power;
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const useExponent = decimals > 4 || Math.max(Math.abs(low), Math.abs(high)) >= 1e5;
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i <= Math.floor(high / step + 1e-9); i++) {
    const value = i * step;
    const text = i === 0 ? '0' : useExponent ? shortExponent(value) : value.toFixed(decimals);
    ticks.push([value, text.replace(/-/g, '\u2212')]);
  }
  return ticks;
}

function shortExponent(value) {
  const [mantissa, exponent] = value.toExponential(2).split('e');
  return `${Number(mantissa)}e${Number(exponent)}`;
}

/** Any CSS colour as '#rrggbb': three.js itself does not know the newer notations. */
function toHex(css, fallback) {
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  context.fillStyle = fallback;
  context.fillStyle = css; // ignored when it is not a colour
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
  return `#${[red, green, blue].map((channel) => channel.toString(16).padStart(2, '0')).join('')}`;
}

/** A round texture made of filled discs, outermost first: [[share of the radius, colour], ...]. */
function discTexture(discs, size) {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = size;
  const context = canvas.getContext('2d');
  for (const [share, colour] of discs) {
    context.beginPath();
    context.arc(size / 2, size / 2, (share * size) / 2, 0, 2 * Math.PI);
    context.fillStyle = colour;
    context.fill();
  }
  const texture = new THREE.CanvasTexture(canvas);
  texture.colorSpace = THREE.SRGBColorSpace;
  texture.anisotropy = 4;
  return texture;
}

/** The sign of a kind of place, as on the map. */
function signTexture({ corners = 4, arms = false, turn, fill = INK, edge = LIGHT, size }) {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 64;
  const context = canvas.getContext('2d');
  context.lineJoin = context.lineCap = 'round';
  context.beginPath();
  for (let k = 0; k < corners; k++) {
    const angle = turn + (2 * Math.PI * k) / corners;
    if (arms) context.moveTo(32, 32);
    context.lineTo(32 + 25 * size * Math.cos(angle), 32 + 25 * size * Math.sin(angle));
  }
  const stroke = (width, colour) => {
    [context.lineWidth, context.strokeStyle] = [width, colour];
    context.stroke();
  };
  if (arms) {
    stroke(16, edge);
    stroke(7, fill);
  } else {
    context.closePath();
    context.fillStyle = fill;
    stroke(7, edge);
    context.fill();
  }
  const texture = new THREE.CanvasTexture(canvas);
  texture.colorSpace = THREE.SRGBColorSpace;
  texture.anisotropy = 4;
  return texture;
}

/** Relative luminance (0 to 1) of a '#rrggbb' colour. */
function luminance(hex) {
  const colour = new THREE.Color(hex); // three.js works in linear light
  return 0.2126 * colour.r + 0.7152 * colour.g + 0.0722 * colour.b;
}

// ----------------------------------------------------------------------------------------------- the surface

/** The plane, its heights and the mapping from plane to world coordinates. */
class Field {
  constructor({ z, low, high, xBounds, yBounds, exaggeration }) {
    const shape = z?.shape ?? [0, 0];
    [this.ny, this.nx] = shape;
    this.z = z;
    this.low = low;
    this.exaggeration = exaggeration;
    this.span = high > low ? high - low : 1;
    [this.x0, this.x1] = xBounds;
    [this.y0, this.y1] = yBounds;
    const width = this.x1 - this.x0;
    const depth = this.y1 - this.y0;
    this.aspect = width / depth;
    this.scale = 1 / Math.min(width, depth);
    this.halfX = (width * this.scale) / 2;
    this.halfY = (depth * this.scale) / 2;
    this.relief = exaggeration * Math.max(RELIEF, FLAT_RELIEF * 2 * Math.max(this.halfX, this.halfY));
  }

  get drawable() {
    return this.nx > 1 && this.ny > 1 && Number.isFinite(this.scale) && this.scale > 0;
  }

  worldX(x) {
    return (x - this.x0) * this.scale - this.halfX;
  }

  worldY(y) {
    return (y - this.y0) * this.scale - this.halfY;
  }

  /** Place in the colour range, 0 to 1; NaN stays NaN. */
  share(value) {
    const share = (value - this.low) / this.span;
    return share < 0 ? 0 : share > 1 ? 1 : share;
  }

  column(x) {
    return ((x - this.x0) / (this.x1 - this.x0)) * (this.nx - 1);
  }

  row(y) {
    return ((y - this.y0) / (this.y1 - this.y0)) * (this.ny - 1);
  }

  contains(x, y) {
    return x >= this.x0 && x <= this.x1 && y >= this.y0 && y <= this.y1;
  }

  /**
   * World height of the drawn surface, NaN outside it. Interpolates in the mesh's own triangles (cells are cut
   * from their low to their high corner), so that whatever is draped lies on the picture, not near it.
   */
  height(x, y) {
    const column = this.column(x);
    const row = this.row(y);
    const slack = 1e-4; // float32 contours end a hair outside the bounds
    if (!(column >= -slack && column <= this.nx - 1 + slack && row >= -slack && row <= this.ny - 1 + slack)) return NaN;
    const j = clamp(Math.floor(column), 0, this.nx - 2);
    const i = clamp(Math.floor(row), 0, this.ny - 2);
    const u = clamp(column - j, 0, 1);
    const v = clamp(row - i, 0, 1);
    const k = i * this.nx + j;
    const here = this.share(this.z[k]);
    const opposite = this.share(this.z[k + this.nx + 1]);
    // a corner with no weight must not spoil the answer with its NaN
    const blend = (major, minor, corner) => {
      const a = major === 1 ? 0 : (1 - major) * here;
      const b = major === minor ? 0 : (major - minor) * this.share(this.z[corner]);
      const c = minor === 0 ? 0 : minor * opposite;
      return a + b + c;
    };
    return this.relief * (u >= v ? blend(u, v, k + 1) : blend(v, u, k + this.nx));
  }
}

/** Share of points on the surface that it hides from an eye far away in a direction; angles in radians. */
function hiddenShare(field, points, azimuth, elevation) {
  const step = 1 / Math.max(field.nx, field.ny, 33);
  const [dx, dy, dz] = [step * Math.cos(azimuth), step * Math.sin(azimuth), step * Math.tan(elevation)];
  let hidden = 0;
  for (let k = 0; k < points.length; k += 3) {
    let [x, y, z] = points.slice(k, k + 3);
    z += 0.02 * field.relief;
    const inside = () => Math.abs(x) <= field.halfX && Math.abs(y) <= field.halfY && z < field.relief;
    for (x += dx, y += dy, z += dz; inside(); x += dx, y += dy, z += dz) {
      if (field.height((x + field.halfX) / field.scale + field.x0, (y + field.halfY) / field.scale + field.y0) > z) {
        hidden += 3 / points.length;
        break;
      }
    }
  }
  return hidden;
}

/** The coloured mesh. Buffers are reused as long as the grid keeps its size. */
class SurfaceMesh {
  constructor() {
    // Colour is looked up per pixel from the height, not mixed between corners: exact on coarse grids too.
    this.palette = new THREE.DataTexture(new Uint8Array([128, 128, 128, 255]), 1, 1);
    this.palette.colorSpace = THREE.SRGBColorSpace;
    this.material = new THREE.MeshLambertMaterial({ map: this.palette, side: THREE.DoubleSide });
    this.object = new THREE.Mesh(new THREE.BufferGeometry(), this.material);
    this.object.frustumCulled = false;
    this.object.visible = false;
    this.nx = 0;
    this.ny = 0;
    this.hadHoles = false;
  }

  setPalette(colours) {
    const pixels = new Uint8Array(colours.length * 4);
    colours.forEach((hex, i) => {
      const rgb = Number.parseInt(hex.slice(1, 7), 16);
      pixels.set([rgb >> 16, (rgb >> 8) & 255, rgb & 255, 255], 4 * i);
    });
    this.palette.dispose(); // a texture's size is fixed on the card
    this.palette = new THREE.DataTexture(pixels, colours.length, 1);
    this.palette.colorSpace = THREE.SRGBColorSpace;
    this.palette.magFilter = THREE.LinearFilter;
    this.palette.minFilter = THREE.LinearFilter;
    this.palette.needsUpdate = true;
    this.material.map = this.palette;
  }

  update(field) {
    const { nx, ny } = field;
    this.object.visible = field.drawable;
    if (!field.drawable) return;
    const resized = nx !== this.nx || ny !== this.ny;
    if (resized) this.#allocate(nx, ny);
    const holes = this.#fill(field);
    if (resized || holes || this.hadHoles) this.#index(field.z);
    this.hadHoles = holes;
  }

  #allocate(nx, ny) {
    const count = nx * ny;
    const geometry = new THREE.BufferGeometry();
    for (const [name, size] of [['position', 3], ['normal', 3], ['uv', 2]]) {
      const attribute = new THREE.BufferAttribute(new Float32Array(count * size), size);
      attribute.setUsage(THREE.DynamicDrawUsage);
      geometry.setAttribute(name, attribute);
    }
    const Index = count > 65535 ? Uint32Array : Uint16Array;
    geometry.setIndex(new THREE.BufferAttribute(new Index((nx - 1) * (ny - 1) * 6), 1));
    this.object.geometry.dispose();
    this.object.geometry = geometry;
    this.nx = nx;
    this.ny = ny;
  }

  /** Writes positions, palette coordinates and normals; returns whether a value is missing. */
  #fill(field) {
    const { nx, ny, z, relief } = field;
    const { position, normal, uv } = this.object.geometry.attributes;
    const points = position.array;
    const normals = normal.array;
    const texels = uv.array;
    const stepX = (2 * field.halfX) / (nx - 1);
    const stepY = (2 * field.halfY) / (ny - 1);
    let holes = false;

    for (let i = 0, k = 0; i < ny; i++) {
      for (let j = 0; j < nx; j++, k++) {
        let share = 0;
        if (Number.isFinite(z[k])) share = field.share(z[k]);
        else holes = true;
        points[3 * k] = j * stepX - field.halfX;
        points[3 * k + 1] = i * stepY - field.halfY;
        points[3 * k + 2] = share * relief;
        texels[2 * k] = share; // clamped at the texture's ends, where the outer half texels are flat
        texels[2 * k + 1] = 0.5;
      }
    }

    // Normals by differences along the grid, one-sided at edges and beside holes.
    const slope = (k, before, after, step) => {
      const from = before >= 0 && Number.isFinite(z[before]) ? before : k;
      const to = after >= 0 && Number.isFinite(z[after]) ? after : k;
      const steps = (from === k ? 0 : 1) + (to === k ? 0 : 1);
      return steps ? (points[3 * to + 2] - points[3 * from + 2]) / (steps * step) : 0;
    };
    for (let i = 0, k = 0; i < ny; i++) {
      for (let j = 0; j < nx; j++, k++) {
        const dx = slope(k, j > 0 ? k - 1 : -1, j < nx - 1 ? k + 1 : -1, stepX);
        const dy = slope(k, i > 0 ? k - nx : -1, i < ny - 1 ? k + nx : -1, stepY);
        const length = Math.sqrt(dx * dx + dy * dy + 1);
        normals[3 * k] = -dx / length;
        normals[3 * k + 1] = -dy / length;
        normals[3 * k + 2] = 1 / length;
      }
    }
    position.needsUpdate = normal.needsUpdate = uv.needsUpdate = true;
    return holes;
  }

  /** Two triangles a cell, cut along the diagonal that `Field.height` assumes; those with a missing corner left out. */
  #index(z) {
    const { nx, ny } = this;
    const { geometry } = this.object;
    const index = geometry.index.array;
    let n = 0;
    for (let i = 0; i < ny - 1; i++) {
      for (let j = 0; j < nx - 1; j++) {
        const a = i * nx + j;
        const d = a + nx + 1;
        if (!Number.isFinite(z[a]) || !Number.isFinite(z[d])) continue;
        if (Number.isFinite(z[a + 1])) {
          index[n++] = a;
          index[n++] = a + 1;
          index[n++] = d;
        }
        if (Number.isFinite(z[a + nx])) {
          index[n++] = a;
          index[n++] = d;
          index[n++] = a + nx;
        }
      }
    }
    geometry.index.needsUpdate = true;
    geometry.setDrawRange(0, n);
  }

  dispose() {
    this.object.geometry.dispose();
    this.material.dispose();
    this.palette.dispose();
  }
}

// ------------------------------------------------------------------------------------------- lines and points

/**
 * A group drawn slightly nearer to the eye than it is, by scaling it about the camera. On the screen nothing moves,
 * but lines wider than a pixel and round dots no longer sink into the slope they lie on, and need no lifting.
 */
class Overlay {
  constructor(scene, pull) {
    this.pull = pull;
    this.group = new THREE.Group();
    scene.add(this.group);
  }

  follow(camera) {
    this.group.scale.setScalar(1 - this.pull);
    this.group.position.copy(camera.position).multiplyScalar(this.pull);
  }
}

/** Screen-width line segments whose geometry is replaced (and freed) at each update. */
class Lines {
  constructor(parent, order, options) {
    this.material = new LineMaterial(options);
    this.object = new LineSegments2(new LineSegmentsGeometry(), this.material);
    this.object.renderOrder = order;
    this.object.frustumCulled = false;
    this.object.visible = false;
    parent.add(this.object);
  }

  /** `points`: x, y, z, x, y, z per segment; `colours`: the same layout in r, g, b. */
  set(points, colours) {
    this.object.visible = points.length > 0;
    this.object.geometry.dispose();
    this.object.geometry = new LineSegmentsGeometry();
    if (!points.length) return;
    this.object.geometry.setPositions(points);
    if (colours) this.object.geometry.setColors(colours);
  }

  dispose() {
    this.object.geometry.dispose();
    this.material.dispose();
  }
}

/** Overlapping ends of translucent segments would show as beads: the stencil lets every pixel be painted once. */
const paintOnce = (reference) => ({
  transparent: true,
  depthWrite: false,
  stencilWrite: true,
  stencilRef: reference,
  stencilFunc: THREE.NotEqualStencilFunc,
  stencilZPass: THREE.ReplaceStencilOp,
});

/** Round dots of constant size on the screen. */
class Dots {
  constructor(parent, order, texture, size, options = {}) {
    this.material = new THREE.PointsMaterial({
      map: texture, size, sizeAttenuation: false, transparent: true, alphaTest: 0.05, depthWrite: false, ...options,
    });
    this.object = new THREE.Points(new THREE.BufferGeometry(), this.material);
    this.object.renderOrder = order;
    this.object.frustumCulled = false;
    this.object.visible = false;
    parent.add(this.object);
  }

  set(points) {
    this.object.visible = points.length > 0;
    this.object.geometry.dispose();
    this.object.geometry = new THREE.BufferGeometry();
    this.object.geometry.setAttribute('position', new THREE.Float32BufferAttribute(points, 3));
  }

  dispose() {
    this.object.geometry.dispose();
    this.material.map.dispose();
    this.material.dispose();
  }
}

/** Writes chains of points as line segments, without those points that lie on the line anyway. */
class Pen {
  constructor() {
    this.points = [];
    this.colours = [];
    this.anchor = null;
    this.pending = []; // points since the anchor; the last one is where the pen is
  }

  lift() {
    if (this.pending.length) this.#stroke(this.pending.at(-1));
    this.anchor = null;
    this.pending = [];
  }

  start(point, colour) {
    this.lift();
    this.anchor = point;
    this.colour = colour;
  }

  lineTo(point) {
    const skipped = this.pending;
    if (skipped.length >= PEN_REACH || skipped.some((other) => distanceToLine(other, this.anchor, point) > PEN_SLACK)) {
      this.#stroke(skipped.at(-1));
      this.anchor = skipped.at(-1);
      this.pending = [];
    }
    this.pending.push(point);
  }

  #stroke(end) {
    const { r, g, b } = this.colour;
    this.points.push(...this.anchor, ...end);
    this.colours.push(r, g, b, r, g, b);
  }
}

/** Distance of a point from the straight line between two others, all [x, y, z]. */
function distanceToLine(point, from, to) {
  const [dx, dy, dz] = [to[0] - from[0], to[1] - from[1], to[2] - from[2]];
  const [px, py, pz] = [point[0] - from[0], point[1] - from[1], point[2] - from[2]];
  const length = dx * dx + dy * dy + dz * dz;
  const t = length ? clamp((px * dx + py * dy + pz * dz) / length, 0, 1) : 0;
  return Math.hypot(px - t * dx, py - t * dy, pz - t * dz);
}

/**
 * Contour segments laid on the mesh. Each is cut where it crosses the diagonal of its cell: there the mesh has an
 * edge, and on a coarse grid a straight piece would dive under it.
 */
function drapeContours(field, contours, palette) {
  const dark = new THREE.Color(INK);
  const light = new THREE.Color(LIGHT);
  const ink = palette.map((hex) => (luminance(hex) < 0.08 ? light : dark));
  const pens = { minor: new Pen(), major: new Pen() };
  const onSurface = (x, y) => [field.worldX(x), field.worldY(y), field.height(x, y)];
  let pen = pens.minor;
  let end = []; // where the last segment ended: x, y, level

  for (let k = 0; k < 6 * rowCount(contours, 6); k += 6) {
    // no `subarray`: Bokeh's arrays are a subclass whose constructor takes other arguments
    const ax = contours[k];
    const ay = contours[k + 1];
    const bx = contours[k + 2];
    const by = contours[k + 3];
    const level = contours[k + 4];
    const a = onSurface(ax, ay);
    const b = onSurface(bx, by);
    if (!Number.isFinite(a[2] + b[2])) continue;

    if (ax !== end[0] || ay !== end[1] || level !== end[2]) {
      pen.lift();
      pen = contours[k + 5] > 0.5 ? pens.major : pens.minor;
      pen.start(a, ink[Math.round(field.share(level) * (ink.length - 1))] ?? dark);
    }
    end = [bx, by, level];

    const j = Math.floor(field.column((ax + bx) / 2));
    const i = Math.floor(field.row((ay + by) / 2));
    const before = field.column(ax) - j - (field.row(ay) - i); // signed distance from the cell's diagonal
    const after = field.column(bx) - j - (field.row(by) - i);
    if (before * after < -1e-9) {
      const t = before / (before - after);
      const crossing = onSurface(ax + t * (bx - ax), ay + t * (by - ay));
      if (Number.isFinite(crossing[2])) pen.lineTo(crossing);
    }
    pen.lineTo(b);
  }
  pen.lift();
  return pens;
}

/** A line as segments that follow the surface, cut about once a cell; pieces outside the surface are left out. */
function drapeLine(field, line) {
  const pen = new Pen();
  const colour = new THREE.Color(LIGHT); // not used: casing and core have their own
  let drawing = false;
  for (let k = 0; k + 1 < line.length; k++) {
    const [ax, ay] = line[k];
    const [bx, by] = line[k + 1];
    const cells = Math.max(
      Math.abs(field.column(bx) - field.column(ax)),
      Math.abs(field.row(by) - field.row(ay)),
    );
    if (!Number.isFinite(cells)) {
      drawing = false;
      continue;
    }
    const pieces = clamp(Math.ceil(cells), 1, 256);
    for (let piece = drawing ? 1 : 0; piece <= pieces; piece++) {
      const x = ax + ((bx - ax) * piece) / pieces;
      const y = ay + ((by - ay) * piece) / pieces;
      const z = field.contains(x, y) ? field.height(x, y) : NaN;
      const point = [field.worldX(x), field.worldY(y), z];
      if (!Number.isFinite(z)) pen.lift();
      else if (drawing) pen.lineTo(point);
      else pen.start(point, colour);
      drawing = Number.isFinite(z);
    }
  }
  pen.lift();
  return pen.points;
}

/** Segments broken into dashes by their length, which runs on from one to the next. */
function dashed(points, [dash, gap]) {
  const found = [];
  let run = 0; // length since the last dash began
  for (let k = 0; k < points.length; k += 6) {
    const length = Math.hypot(points[k + 3] - points[k], points[k + 4] - points[k + 1], points[k + 5] - points[k + 2]);
    const at = (s) => [0, 1, 2].map((c) => points[k + c] + ((points[k + 3 + c] - points[k + c]) * s) / length);
    for (let s = 0; s < length; ) {
      const drawing = run < dash;
      const step = Math.min(length - s, (drawing ? dash : dash + gap) - run);
      if (drawing) found.push(...at(s), ...at(s + step));
      s += step;
      run += step;
      if (run >= dash + gap - 1e-9) run = 0;
    }
  }
  return found;
}

/** Points along segments, a gap apart. */
function dotted(points, gap) {
  const found = [];
  let left = 0; // length to the next dot
  for (let k = 0; k < points.length; k += 6) {
    const length = Math.hypot(points[k + 3] - points[k], points[k + 4] - points[k + 1], points[k + 5] - points[k + 2]);
    for (; left <= length; left += gap) {
      found.push(...[0, 1, 2].map((c) => points[k + c] + ((points[k + 3 + c] - points[k + c]) * left) / (length || 1)));
    }
    left -= length;
  }
  return found;
}

/** World positions (x, y, z, ...) of plane coordinates that lie on the surface. */
function drapePoints(field, coordinates) {
  const points = [];
  for (let k = 0; k < rowCount(coordinates, 2); k++) {
    const x = coordinates[2 * k];
    const y = coordinates[2 * k + 1];
    const z = field.contains(x, y) ? field.height(x, y) : NaN;
    if (Number.isFinite(z)) points.push(field.worldX(x), field.worldY(y), z);
  }
  return points;
}

// ------------------------------------------------------------------------------------------------------ labels

/** Labels as HTML over the canvas: the page's own font, always upright, never cut. */
class Labels {
  constructor(layer) {
    this.layer = layer;
    this.spans = new Map();
    this.context = document.createElement('canvas').getContext('2d');
    this.fonts = {};
    this.widths = new Map();
  }

  /** Reads the fonts back, after the theme or the text size has changed. */
  readFonts() {
    for (const kind of ['tick', 'title', 'name']) {
      const probe = document.createElement('span');
      probe.className = `s3-label s3-${kind}`;
      this.layer.append(probe);
      const { fontFamily, fontSize, fontWeight } = getComputedStyle(probe);
      probe.remove();
      this.fonts[kind] = { font: `${fontWeight} ${fontSize} ${fontFamily}`, height: 1.25 * Number.parseFloat(fontSize) };
    }
    this.widths.clear();
  }

  /** Width and height of a text, measured without touching the page's layout. */
  measure(kind, text) {
    const key = `${kind} ${text}`;
    let width = this.widths.get(key);
    if (width === undefined) {
      this.context.font = this.fonts[kind].font;
      width = Math.ceil(this.context.measureText(text).width) + 1;
      this.widths.set(key, width);
    }
    return { width, height: this.fonts[kind].height };
  }

  /**
   * Shows the labels that fit: in the order given, each at the first of its places where it is not cut, perhaps
   * nudged into the card, and covers no earlier one and none of the boxes that are taken; dropped if there is none.
   */
  show(labels, width, height, taken) {
    const placed = [...taken];
    const unused = new Set(this.spans.keys());
    for (const label of labels) {
      for (const [wantedX, wantedY] of label.places ?? [[label.x, label.y]]) {
        const x = clamp(wantedX, label.width / 2, width - label.width / 2);
        const y = clamp(wantedY, label.height / 2, height - label.height / 2);
        if (!(Math.hypot(x - wantedX, y - wantedY) <= MAX_NUDGE)) continue;
        const box = { x, y, width: label.width + 4, height: label.height - 3 };
        const covers = (other) =>
          Math.abs(box.x - other.x) < (box.width + other.width) / 2 &&
          Math.abs(box.y - other.y) < (box.height + other.height) / 2;
        if (placed.some(covers)) continue;
        placed.push(box);
        unused.delete(label.id);
        this.#write(label, x - label.width / 2, y - label.height / 2);
        break;
      }
    }
    for (const id of unused) this.spans.get(id).style.display = 'none';
  }

  #write(label, left, top) {
    let span = this.spans.get(label.id);
    if (!span) {
      span = document.createElement('span');
      span.className = `s3-label s3-${label.kind}`;
      this.layer.append(span);
      this.spans.set(label.id, span);
    }
    if (span.textContent !== label.text) span.textContent = label.text;
    span.style.display = '';
    span.style.transform = `translate(${left.toFixed(1)}px, ${top.toFixed(1)}px)`;
  }
}

// ---------------------------------------------------------------------------------------------------- the pace

/** Gives up sharpness for pace while something moves, where pixels are what takes the time. */
class Pace {
  constructor(sharpen) {
    this.sharpen = sharpen; // called with a share of the screen's pixels, which changes the picture's
    this.level = 0; // of SHARPNESS
    this.moves = false;
  }

  /** To be called in each frame that moves, with its time and before it is drawn. */
  move(time) {
    clearTimeout(this.resting);
    if (!this.moves) this.#begin();
    requestAnimationFrame((next) => {
      const took = next - time;
      clearTimeout(this.resting);
      this.resting = setTimeout(() => this.#rest(), Math.max(REST, 3 * took));
      this.#learn(took);
    });
  }

  #begin() {
    this.moves = true;
    this.times = [];
    this.before = Infinity; // what frames took while they had more pixels
    this.settled = false; // whether fewer would not help
    this.#take(this.level - 1); // what made the last movement slow may be over
  }

  #learn(took) {
    if (this.settled || this.times.push(took) < FRAMES) return;
    const [, lower, upper] = this.times.sort((a, b) => a - b);
    const middle = (lower + upper) / 2;
    this.times = [];
    this.settled = middle > HELPFUL * this.before;
    if (this.settled) this.#take(this.level - 1);
    else if (middle > LATE && this.level < SHARPNESS.length - 1) {
      this.before = middle;
      this.#take(this.level + 1);
    }
  }

  #take(level) {
    this.level = Math.max(0, level);
    this.sharpen(SHARPNESS[this.level]);
  }

  #rest() {
    this.moves = false;
    this.settled = true; // a frame may still be on its way
    this.sharpen(1);
  }

  dispose() {
    clearTimeout(this.resting);
  }
}

// ---------------------------------------------------------------------------------------------------- the view

class SurfaceView {
  constructor(model, el, box, canvas, context) {
    this.model = model;
    this.el = el;
    this.box = box;
    this.canvas = canvas;
    this.stale = new Set(['palette', 'surface', 'contours', 'strokes', 'marks', 'nodes', 'marker', 'labels', 'theme', 'alt']);
    this.frame = 0;
    this.width = 0;
    this.height = 0;
    this.turned = false; // whether the reader has chosen a view of their own
    this.home = null; // the default view of this plane
    this.fitted = null; // bounds for which the camera was fitted
    this.axesKey = '';
    this.named = []; // places with a name
    this.signed = []; // all that have a sign
    this.placing = false; // whether the camera is being moved from here and not by the reader's hand
    this.sharpness = 1;
    this.pace = new Pace((sharpness) => this.#sharpen(sharpness));

    this.renderer = new THREE.WebGLRenderer({ canvas, context });
    this.renderer.setClearColor(0x000000, 0);
    this.renderer.debug.checkShaderErrors = false; // each question whether there are any waits for the compiler
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(FIELD_OF_VIEW, 1, 0.1, 200);
    this.camera.up.set(0, 0, 1);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enablePan = false;
    this.controls.maxPolarAngle = LOWEST_POLAR;
    canvas.style.touchAction = 'pan-y'; // a finger moving sideways turns the view, up and down scrolls the page

    this.#buildScene();
    const layer = document.createElement('div');
    layer.className = 's3-labels';
    layer.setAttribute('aria-hidden', 'true');
    box.append(layer);
    this.labels = new Labels(layer);
    this.#listen();
  }

  #buildScene() {
    this.scene.add(new THREE.AmbientLight(0xffffff, 0.74 * Math.PI));
    const lamp = new THREE.DirectionalLight(0xffffff, 0.42 * Math.PI);
    lamp.position.set(-2, -1.2, 2.6);
    this.scene.add(lamp);

    this.mesh = new SurfaceMesh();
    this.scene.add(this.mesh.object);

    const overlays = {};
    for (const [name, pull] of Object.entries(PULL)) overlays[name] = new Overlay(this.scene, pull);
    this.overlays = Object.values(overlays);
    const parent = (name) => overlays[name].group;

    const unlayered = { transparent: true, depthWrite: false };
    const contour = (opacity, reference) => ({ vertexColors: true, opacity, ...paintOnce(reference) });
    this.lines = {
      axes: new Lines(this.scene, 1, { linewidth: WIDTH.axes, opacity: 0.8, ...unlayered }),
      minor: new Lines(parent('contours'), 2, { linewidth: WIDTH.minor, ...contour(0.3, 1) }),
      major: new Lines(parent('contours'), 3, { linewidth: WIDTH.major, ...contour(0.55, 2) }),
      ghost: new Lines(parent('strokes'), 4, {
        linewidth: WIDTH.ghost, color: LIGHT, opacity: 0.4, ...paintOnce(3), depthFunc: THREE.GreaterDepth,
      }),
      // neither writes depth: a nearer piece of the casing must not cover the core beside it
      casing: new Lines(parent('strokes'), 5, { linewidth: WIDTH.casing, color: INK, ...unlayered }),
      core: new Lines(parent('strokes'), 6, { linewidth: WIDTH.core, color: LIGHT, ...unlayered }),
    };

    this.nodes = new Dots(parent('nodes'), 4, discTexture([[0.95, LIGHT], [0.6, INK]], 64), NODE_PX);
    const disc = () => discTexture([[0.95, INK], [0.62, LIGHT]], 64);
    this.dots = new Dots(parent('strokes'), 7, disc(), DOT_PX);
    this.knots = new Dots(parent('knots'), 7, disc(), KNOT_PX);
    this.signs = {};
    for (const [kind, sign] of Object.entries(SIGNS)) {
      this.signs[kind] = new Dots(parent('knots'), 9, signTexture(sign), SIGN_PX, { depthTest: false });
    }

    const here = discTexture([[0.94, INK], [0.84, LIGHT], [0.6, HERE]], 96);
    this.marker = new THREE.Sprite(
      new THREE.SpriteMaterial({ map: here, sizeAttenuation: false, depthTest: false, depthWrite: false }),
    );
    this.marker.renderOrder = 20;
    this.marker.visible = false;
    this.scene.add(this.marker);
  }

  #listen() {
    const { model } = this;
    const watch = (names, ...parts) => {
      for (const name of names) model.on(name, () => this.invalidate(...parts));
    };
    watch(['z', 'low', 'high', 'x_bounds', 'y_bounds', 'exaggeration'], 'surface', 'contours', 'strokes', 'marks', 'nodes', 'marker', 'labels');
    watch(['palette'], 'palette', 'contours');
    watch(['contours'], 'contours');
    watch(['strokes', 'knots'], 'strokes');
    watch(['marks'], 'marks', 'labels');
    watch(['nodes', 'show_nodes'], 'nodes');
    watch(['marker'], 'marker');
    watch(['x_title', 'y_title', 'z_title', 'z_ticks'], 'labels');
    watch(['dark'], 'theme', 'labels');
    watch(['reset'], 'home');
    watch(['alt'], 'alt');

    this.controls.addEventListener('start', () => {
      this.turned = true;
    });
    this.controls.addEventListener('change', () => {
      if (!this.placing) this.invalidate('camera', 'turned');
    });
    this.controls.addEventListener('end', () => {
      this.#lockTilt(false);
      this.invalidate('thinning');
    });
    // One finger only turns sideways, or every scroll of the page would tilt the view first; two fingers do all.
    this.canvas.addEventListener('pointerdown', (event) => {
      if (event.pointerType === 'touch') this.#lockTilt(event.isPrimary);
    });
    this.canvas.addEventListener('keydown', (event) => this.#onKey(event));
    this.canvas.addEventListener('webglcontextrestored', () => this.invalidate('camera'));

    // The page may switch its tokens after `dark` has arrived here.
    this.themeObserver = new MutationObserver(() => this.invalidate('theme', 'labels'));
    this.themeObserver.observe(document.documentElement, {
      attributeFilter: ['class', 'style', 'data-theme'],
    });
    this.sizeObserver = new ResizeObserver(() => this.#onResize());
    this.sizeObserver.observe(this.box);
  }

  /** Notes what has become stale; everything noted before the next animation frame is drawn at once. */
  invalidate(...parts) {
    for (const part of parts) this.stale.add(part);
    if (!this.frame) this.frame = requestAnimationFrame((time) => this.#update(time));
  }

  #sharpen(sharpness) {
    if (sharpness === this.sharpness) return;
    this.sharpness = sharpness;
    this.el.dataset.sharpness = sharpness;
    this.invalidate('pixels');
  }

  #fillPixels() {
    this.renderer.setPixelRatio(Math.min(2, window.devicePixelRatio || 1) * this.sharpness);
    this.renderer.setSize(this.width, this.height, false);
  }

  #onResize() {
    const width = this.box.clientWidth;
    const height = this.box.clientHeight;
    if (!width || !height || (width === this.width && height === this.height)) return;
    const { view } = this.camera; // keeps the picture's place in the card for a view that is not fitted anew
    const offset = view ? [(view.offsetX * width) / this.width, (view.offsetY * height) / this.height] : [0, 0];
    this.width = width;
    this.height = height;
    this.#fillPixels();
    this.camera.aspect = width / height;
    this.camera.setViewOffset(width, height, ...offset, width, height);
    this.stale.add(this.turned ? 'camera' : 'home');
    this.stale.add('thinning');
    this.#update(); // at once: resizing has emptied the canvas
  }

  #update(time) {
    if (this.stale.has('turned') && time) this.pace.move(time);
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (!this.width || !this.height) return; // hidden: the work waits until there is a size
    if (this.stale.has('pixels')) this.#fillPixels();
    const stale = this.stale;
    this.stale = new Set();

    if (stale.has('alt')) this.canvas.setAttribute('aria-label', this.model.alt || 'Loss surface');
    if (stale.has('theme')) this.#readTheme();
    if (stale.has('palette')) this.#readPalette();
    if (stale.has('surface')) this.#readSurface(stale);
    if (stale.has('contours')) this.#readContours();
    if (stale.has('strokes')) this.#readStrokes();
    if (stale.has('marks')) this.#readMarks();
    if (stale.has('nodes')) this.#readNodes();
    if (stale.has('home')) this.#goHome();
    else if (stale.has('fit')) this.#frame(this.#direction());
    if (['strokes', 'home', 'fit', 'thinning'].some((part) => stale.has(part))) this.#thinKnots();
    if (stale.has('marker')) this.#moveMarker();

    this.#draw();
  }

  // ---- reading the model

  #readTheme() {
    const style = getComputedStyle(this.el);
    const token = (name) => style.getPropertyValue(name).trim();
    const fallback = this.model.dark ? FALLBACK.dark : FALLBACK.light;
    this.box.style.setProperty('--s3-ink', token('--ink') || fallback.ink);
    this.box.style.setProperty('--s3-ink-2', token('--ink-2') || fallback.ink2);
    this.box.style.setProperty('--s3-card', token('--card') || fallback.card);
    this.lines.axes.material.color.set(toHex(token('--edge') || fallback.edge, fallback.edge));
    this.labels.readFonts();
  }

  #readPalette() {
    const palette = this.model.palette;
    this.palette = palette?.length ? palette : ['#202020', '#e0e0e0'];
    this.mesh.setPalette(this.palette);
  }

  #readSurface(stale) {
    const { z, low, high, x_bounds: xBounds, y_bounds: yBounds, exaggeration } = this.model;
    this.field = new Field({ z, low, high, xBounds, yBounds, exaggeration });
    this.mesh.update(this.field);
    this.el.dataset.size = `${this.field.nx} x ${this.field.ny}`;
    // A finer surface of the same plane keeps the camera; what is larger or smaller is framed anew, from where the
    // reader has turned it.
    const bounds = [...xBounds, ...yBounds, exaggeration].join();
    if (bounds !== this.fitted) stale.add(this.turned ? 'fit' : 'home');
    const plane = [...xBounds, ...yBounds].join();
    if (plane !== this.plane) this.home = null;
    this.plane = plane;
  }

  #readContours() {
    const { minor, major } = this.field.drawable
      ? drapeContours(this.field, this.model.contours, this.palette)
      : { minor: { points: [] }, major: { points: [] } };
    this.lines.minor.set(minor.points, minor.colours);
    this.lines.major.set(major.points, major.colours);
  }

  #allDots() {
    return [this.nodes, this.dots, this.knots, ...Object.values(this.signs)];
  }

  #readStrokes() {
    const [pieces, dots] = [[], []];
    for (const { style, points } of this.field.drawable ? this.model.strokes : []) {
      const line = drapeLine(this.field, points);
      const pattern = STYLES[style];
      if (!pattern) pieces.push(...line);
      else if (pattern[0]) pieces.push(...dashed(line, pattern));
      else dots.push(...dotted(line, pattern[1]));
    }
    for (const name of ['casing', 'core', 'ghost']) this.lines[name].set(pieces);
    this.dots.set(dots);
    this.knotPositions = this.field.drawable ? drapePoints(this.field, this.model.knots) : [];
  }

  /** The signs of named places, and where their names go. */
  #readMarks() {
    const { field } = this;
    this.named = [];
    this.signed = [];
    const places = {};
    for (const { kind, x, y, text } of field.drawable ? this.model.marks : []) {
      const point = drapePoints(field, [x, y]);
      if (!point.length) continue;
      (places[kind] ??= []).push(...point);
      this.signed.push({ kind, point });
      if (text) this.named.push({ kind, text, point });
    }
    for (const [kind, dots] of Object.entries(this.signs)) dots.set(places[kind] ?? []);
    this.el.dataset.names = this.named.map(({ text }) => text).join();
  }

  /** The names of places as labels. */
  #names() {
    return this.named.map(({ kind, text, point }, i) => {
      const { x, y } = this.#toScreen(new THREE.Vector3(...point));
      const size = this.labels.measure('name', text);
      const around = (more) => {
        const [up, down] = [-1, 1].map((side) => [x, y + side * (NAME_GAP + more)]);
        const [left, right] = [-1, 1].map((side) => [x + side * (NAME_SIDE + more + size.width / 2), y]);
        const wanted = { barrier: [up, right, left, down], shadow: [left, right, down, up] }; // others come too near
        return wanted[kind] || [down, right, left, up]; // Panel's transpiler breaks a minified "return a ?? b"
      };
      return { id: `name${i}`, kind: 'name', text, ...size, places: [...around(0), ...around(NAME_FARTHER)] };
    });
  }

  /** Where signs and marker are on the screen: boxes that no label may cover. */
  #taken() {
    const box = (point, size) => ({ ...this.#toScreen(point), width: size, height: size });
    const boxes = this.signed.map(({ kind, point }) =>
      box(new THREE.Vector3(...point), SIGN_SHARE * SIGN_PX * SIGNS[kind].size));
    return this.marker.visible ? [...boxes, box(this.marker.position.clone(), MARKER_PX)] : boxes;
  }

  #readNodes() {
    const visible = this.model.show_nodes && this.field.drawable;
    this.nodes.set(visible ? drapePoints(this.field, this.model.nodes) : []);
  }

  #moveMarker() {
    const [x, y] = this.model.marker ?? [];
    const { field } = this;
    const z = field.drawable && field.contains(x, y) ? field.height(x, y) : NaN;
    const visible = Number.isFinite(z);
    this.marker.visible = visible;
    this.el.dataset.marker = visible ? `${x},${y}` : '';
    if (!visible) return;
    this.marker.position.set(field.worldX(x), field.worldY(y), z);
  }

  /** Drops knots whose dots would touch. Only once the view rests, so that none flicker in a drag. */
  #thinKnots() {
    const all = this.knotPositions;
    const kept = [];
    const point = new THREE.Vector3();
    const shown = [];
    this.camera.updateMatrixWorld();
    const last = all.length - 3;
    for (let n = 0; n < all.length; n += 3) {
      const k = n === 0 ? 0 : n === 3 ? last : n - 3; // both ends come first: they always have a dot
      const { x, y } = this.#toScreen(point.set(all[k], all[k + 1], all[k + 2]));
      if (shown.some((other) => Math.hypot(x - other.x, y - other.y) < KNOT_GAP_PX)) continue;
      shown.push({ x, y });
      kept.push(all[k], all[k + 1], all[k + 2]);
    }
    this.knots.set(kept);
  }

  // ---- camera

  /** Screen position in px of a world position; overwrites the vector. */
  #toScreen(vector) {
    vector.project(this.camera);
    return { x: (vector.x * 0.5 + 0.5) * this.width, y: (0.5 - vector.y * 0.5) * this.height };
  }

  /** Points the camera at the target from a direction; angles in radians. */
  #look(azimuth, elevation, distance) {
    const { target } = this.controls;
    this.camera.position.set(
      target.x + distance * Math.cos(azimuth) * Math.cos(elevation),
      target.y + distance * Math.sin(azimuth) * Math.cos(elevation),
      target.z + distance * Math.sin(elevation),
    );
    this.camera.lookAt(target);
    this.camera.updateMatrixWorld();
  }

  /** Tells the controls where the camera is now, without the redraw that they would ask for. */
  #settle() {
    this.placing = true;
    this.controls.update();
    this.placing = false;
  }

  /** The usual view, or one from another side or from higher where that shows clearly more of what is drawn. */
  #clearestView() {
    const { strokes, marks } = this.model;
    const seen = [strokes.map(({ points }) => points.flat()), marks.map(({ x, y }) => [x, y])];
    const draped = seen.map((all) => all.flatMap((points) => drapePoints(this.field, points)));
    const hidden = ({ azimuth, elevation, reluctance }) =>
      draped.reduce((sum, points) => sum + hiddenShare(this.field, points, azimuth, elevation), reluctance);
    const found = VIEWS.map(hidden);
    return VIEWS[found.indexOf(Math.min(...found))];
  }

  #goHome() {
    if (!this.field?.drawable) return;
    this.home ??= this.#clearestView();
    this.#frame(this.home);
    this.turned = false;
  }

  /** Where the camera is, seen from its target. */
  #direction() {
    const offset = new THREE.Vector3().subVectors(this.camera.position, this.controls.target);
    const distance = offset.length();
    return { azimuth: Math.atan2(offset.y, offset.x), elevation: Math.asin(clamp(offset.z / distance, -1, 1)), distance };
  }

  /** The view from a direction, as near as the card allows with all its labels. */
  #frame({ azimuth, elevation }) {
    const { controls, camera, field, width, height } = this;
    if (!field?.drawable) return;
    const { halfX, halfY, relief } = field;
    controls.target.set(0, 0, relief * 0.42);
    let distance = 3 * Math.max(halfX, halfY) * 2;
    let offsetX = 0;
    let offsetY = 0;
    // Labels keep their size while the surface shrinks, so the distance has no closed form; it settles in a few steps.
    for (let round = 0; round < 18; round++) {
      camera.setViewOffset(width, height, offsetX, offsetY, width, height);
      this.#look(azimuth, elevation, distance);
      let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
      const include = (x, y, halfWidth = 0, halfHeight = 0) => {
        left = Math.min(left, x - halfWidth);
        right = Math.max(right, x + halfWidth);
        top = Math.min(top, y - halfHeight);
        bottom = Math.max(bottom, y + halfHeight);
      };
      for (const x of [-halfX, halfX]) {
        for (const y of [-halfY, halfY]) {
          for (const z of [0, relief]) {
            const corner = this.#toScreen(new THREE.Vector3(x, y, z));
            include(corner.x, corner.y);
          }
        }
      }
      for (const label of this.#layOut()) include(label.x, label.y, label.width / 2, label.height / 2);
      offsetX += (left + right - width) / 2;
      offsetY += (top + bottom - height) / 2;
      const excess = Math.max(
        (right - left) / Math.max(40, width - 2 * VIEW_PADDING),
        (bottom - top) / Math.max(40, height - 2 * VIEW_PADDING),
      );
      distance *= clamp(excess, 0.5, 2);
    }
    controls.minDistance = 0.4 * distance;
    controls.maxDistance = 1.8 * distance;
    this.#look(azimuth, elevation, distance);
    this.#settle();
    this.fitted = [field.x0, field.x1, field.y0, field.y1, field.exaggeration].join();
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    let { azimuth, elevation, distance } = this.#direction();
    switch (event.key) {
      case 'ArrowLeft': azimuth -= KEY_STEP; break;
      case 'ArrowRight': azimuth += KEY_STEP; break;
      case 'ArrowUp': elevation += KEY_STEP; break;
      case 'ArrowDown': elevation -= KEY_STEP; break;
      case '+': case '=': distance /= KEY_ZOOM; break;
      case '-': case '_': distance *= KEY_ZOOM; break;
      case '0': case 'Home':
        event.preventDefault();
        this.invalidate('home');
        return;
      default: return;
    }
    event.preventDefault();
    this.turned = true;
    elevation = clamp(elevation, Math.PI / 2 - LOWEST_POLAR, Math.PI / 2 - 0.001);
    this.#look(azimuth, elevation, clamp(distance, this.controls.minDistance, this.controls.maxDistance));
    this.#settle();
    this.invalidate('camera', 'thinning');
  }

  #lockTilt(locked) {
    const polar = this.controls.getPolarAngle();
    this.controls.minPolarAngle = locked ? polar : 0;
    this.controls.maxPolarAngle = locked ? polar : LOWEST_POLAR;
  }

  // ---- axes

  /**
   * Which edges of the floor carry the labels: the two near ones, and for the height the corner leftmost on the
   * screen, where no part of the surface stands in front of it.
   */
  #axisPlaces() {
    const { halfX, halfY } = this.field;
    const nearX = this.camera.position.x < 0 ? -halfX : halfX;
    const nearY = this.camera.position.y < 0 ? -halfY : halfY;
    const corners = [-halfX, halfX].flatMap((x) => [-halfY, halfY].map((y) => ({ x, y })));
    for (const corner of corners) corner.foot = this.#toScreen(new THREE.Vector3(corner.x, corner.y, 0));
    corners.sort((a, b) => a.foot.x - b.foot.x);
    const [corner] = corners;
    const top = this.#toScreen(new THREE.Vector3(corner.x, corner.y, this.field.relief));
    const upright = corner.foot.y - top.y > Z_AXIS_MIN;
    return { nearX, nearY, corner, upright };
  }

  #planeTicks() {
    const { field } = this;
    return {
      x: niceTicks(field.x0, field.x1).map(([value, text]) => ({ at: field.worldX(value), text })),
      y: niceTicks(field.y0, field.y1).map(([value, text]) => ({ at: field.worldY(value), text })),
      z: (this.model.z_ticks ?? [])
        .filter(([value]) => value >= field.low - 1e-6 && value <= field.low + field.span + 1e-6)
        .map(([value, text]) => ({ at: field.share(value) * field.relief, text: String(text) })),
    };
  }

  /** All labels with their wanted centres and sizes in px, most important first. */
  #layOut() {
    const { field, model } = this;
    const { nearX, nearY, corner, upright } = this.#axisPlaces();
    const ticks = this.#planeTicks();
    const at = (x, y, z) => this.#toScreen(new THREE.Vector3(x, y, z));
    const centre = at(0, 0, 0);
    const titles = [];
    const marks = [];

    /** Labels along a floor edge, pushed away from it at a right angle by just what each needs. */
    const alongEdge = (name, from, to, place, title) => {
      const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
      let normal = { x: (from.y - to.y) / length, y: (to.x - from.x) / length };
      const outward = (from.x - centre.x) * normal.x + (from.y - centre.y) * normal.y;
      if (outward < 0) normal = { x: -normal.x, y: -normal.y };
      const reach = ({ width, height }) => (Math.abs(normal.x) * width + Math.abs(normal.y) * height) / 2;
      const push = (point, distance) => ({ x: point.x + normal.x * distance, y: point.y + normal.y * distance });
      let band = 0;
      ticks[name].forEach(({ at: value, text }, i) => {
        const size = this.labels.measure('tick', text);
        band = Math.max(band, 2 * reach(size));
        marks.push({ id: `${name}${i}`, kind: 'tick', text, ...size, ...push(place(value), LABEL_GAP + reach(size)) });
      });
      if (!title) return;
      const size = this.labels.measure('title', title);
      const distance = LABEL_GAP + band + TITLE_GAP + reach(size);
      titles.push({ id: name, kind: 'title', text: title, ...size, ...push(place(0), distance) });
    };
    alongEdge('x', at(-field.halfX, nearY, 0), at(field.halfX, nearY, 0), (x) => at(x, nearY, 0), model.x_title);
    alongEdge('y', at(nearX, -field.halfY, 0), at(nearX, field.halfY, 0), (y) => at(nearX, y, 0), model.y_title);

    if (!upright) return [...titles, ...marks];

    // Height: right-aligned left of the axis; every second or third label where there is no room for all.
    const heights = ticks.z.map(({ at: value, text }) => ({
      ...this.labels.measure('tick', text), text, place: at(corner.x, corner.y, value),
    }));
    let stride = 1;
    const crowded = () => heights.some((label, i) => {
      const next = heights[i + stride];
      return i % stride === 0 && next && Math.abs(label.place.y - next.place.y) < label.height;
    });
    while (stride < heights.length && crowded()) stride++;
    let widest = Z_LABEL_MIN;
    const zMarks = [];
    heights.forEach(({ place, text, width, height }, i) => {
      widest = Math.max(widest, width);
      if (i % stride) return;
      zMarks.push({ id: `z${i}`, kind: 'tick', text, width, height, x: place.x - LABEL_GAP - width / 2, y: place.y });
    });
    if (model.z_title) {
      const size = this.labels.measure('title', model.z_title);
      const top = at(corner.x, corner.y, field.relief);
      const x = Math.min(top.x - LABEL_GAP - widest + size.width / 2, top.x - size.width * 0.2);
      titles.unshift({ id: 'z', kind: 'title', text: model.z_title, ...size, x, y: top.y - size.height });
    }
    return [...titles, ...zMarks, ...marks];
  }

  /** The floor's frame, the height axis and its ticks; rebuilt only when they move to another edge. */
  #placeAxes() {
    const { field } = this;
    const { halfX, halfY, relief } = field;
    const { nearX, nearY, corner, upright } = this.#axisPlaces();
    const ticks = this.#planeTicks();
    const key = JSON.stringify([halfX, halfY, relief, nearX, nearY, corner.x, corner.y, upright, ticks]);
    if (key === this.axesKey) return;
    this.axesKey = key;
    const points = [
      -halfX, -halfY, 0, halfX, -halfY, 0, halfX, -halfY, 0, halfX, halfY, 0,
      halfX, halfY, 0, -halfX, halfY, 0, -halfX, halfY, 0, -halfX, -halfY, 0,
    ];
    if (upright) points.push(corner.x, corner.y, 0, corner.x, corner.y, relief);
    const outX = Math.sign(nearX) * TICK_LENGTH;
    const outY = Math.sign(nearY) * TICK_LENGTH;
    for (const { at } of ticks.x) points.push(at, nearY, 0, at, nearY + outY, 0);
    for (const { at } of ticks.y) points.push(nearX, at, 0, nearX + outX, at, 0);
    this.lines.axes.set(points);
  }

  // ---- drawing

  #draw() {
    const { camera, field, height } = this;
    camera.updateMatrixWorld();
    if (field.drawable) {
      this.#placeAxes();
      this.labels.show([...this.#layOut(), ...this.#names()], this.width, height, this.#taken());
    }
    for (const overlay of this.overlays) overlay.follow(camera);
    // a sprite without attenuation is measured at distance 1
    const perPixel = (2 * Math.tan((FIELD_OF_VIEW * Math.PI) / 360)) / height;
    this.marker.scale.setScalar(MARKER_PX * perPixel);
    this.#render();
    this.el.dataset.camera = camera.position.toArray().map((value) => value.toFixed(2)).join();
  }

  /** The first time, the page goes on while the shaders are compiled. */
  #render() {
    if (this.compiled) this.renderer.render(this.scene, this.camera);
    else
      this.compiling ??= this.renderer.compileAsync(this.scene, this.camera).then(() => {
        this.compiled = true;
        this.invalidate();
      });
  }

  dispose() {
    cancelAnimationFrame(this.frame);
    this.pace.dispose();
    this.invalidate = () => {};
    this.sizeObserver.disconnect();
    this.themeObserver.disconnect();
    this.controls.dispose();
    this.mesh.dispose();
    for (const lines of Object.values(this.lines)) lines.dispose();
    for (const dots of this.#allDots()) dots.dispose();
    this.marker.material.map.dispose();
    this.marker.material.dispose();
    this.renderer.dispose();
    this.renderer.forceContextLoss(); // browsers allow about 16 contexts; do not wait for the garbage collector
    this.box.remove();
  }
}

// ------------------------------------------------------------------------------------------------ entry point

const disposals = new WeakMap(); // model -> ends its view: Panel may render again without a `remove` in between
const whenIdle = window.requestIdleCallback ?? ((begin) => setTimeout(begin)); // Safari has none
const LATEST = 3000; // ms: a page that never rests gets its surface too
const notWhenIdle = window.cancelIdleCallback ?? clearTimeout;

/** Starting WebGL takes long where there is no GPU: what the page can be used with stands before. */
export function render({ model, el }) {
  disposals.get(model)?.();

  // Panel sizes this element only once; as a share of its parent it follows later changes of width and height.
  el.style.width = el.style.height = '100%';
  const style = document.createElement('style');
  style.textContent = CSS;
  const box = document.createElement('div');
  box.className = 's3-box';
  el.append(style, box);

  let view = null;
  const begin = () => {
    view = start(model, el, box);
  };
  const waiting = whenIdle(begin, { timeout: LATEST });
  const dispose = () => {
    notWhenIdle(waiting);
    view?.dispose();
  };
  disposals.set(model, dispose);
  model.on('remove', () => {
    dispose();
    disposals.delete(model);
  });
}

/** The view in a box; null, and a sentence, where there is no WebGL. */
function start(model, el, box) {
  const canvas = document.createElement('canvas');
  canvas.className = 's3-canvas';
  canvas.tabIndex = 0;
  canvas.setAttribute('role', 'img');
  // Asked for here and not by three.js, which would report a missing context as an error on the console.
  const context = canvas.getContext('webgl2', {
    alpha: true,
    antialias: true,
    stencil: true,
    preserveDrawingBuffer: true, // lets the page save the canvas as a PNG at any time
  });
  if (!context) {
    showMessage(model, el, box);
    return null;
  }
  box.append(canvas);
  return new SurfaceView(model, el, box, canvas, context);
}

function showMessage(model, el, box) {
  const message = document.createElement('p');
  message.className = 's3-message';
  message.textContent = NO_WEBGL;
  box.replaceChildren(message);
  const paint = () => {
    const fallback = model.dark ? FALLBACK.dark : FALLBACK.light;
    const ink2 = getComputedStyle(el).getPropertyValue('--ink-2').trim() || fallback.ink2;
    box.style.setProperty('--s3-ink-2', ink2);
  };
  model.on('dark', paint);
  paint();
}
