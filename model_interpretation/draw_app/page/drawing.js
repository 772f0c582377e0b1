// The drawing: strokes and pictures that can be moved and taken back, and how they look on the paper.

export class Drawing {
  constructor(canvas) {
    this.canvas = canvas;
    this.past = [];
    this.now = { items: [], x: 0, y: 0 };
    this.brush = 18;
    this.#draw();
  }

  get isEmpty() {
    return this.now.items.length === 0;
  }

  // The picture as it was given, while it is all there is on the paper, which has other pixels. `isReady` where it is a
  // digit in MNIST's form.
  get given() {
    const { items, x, y } = this.now;
    return items.length === 1 && items[0].file && !x && !y ? items[0] : null;
  }

  begin(point) {
    this.#change({ items: [...this.now.items, { width: this.brush, points: [this.#onPaper(point)] }] });
  }

  extend(point) {
    this.now.items.at(-1).points.push(this.#onPaper(point));
    this.#draw();
  }

  // A function that shifts by so much from where the drawing is now; undo takes all that it does back at once.
  shift() {
    const { x, y } = this.now;
    let hasBegun = false;
    return (dx, dy) => {
      if (!hasBegun) this.#change({});
      hasBegun = true;
      Object.assign(this.now, { x: x + dx, y: y + dy });
      this.#draw();
    };
  }

  // One picture in place of all that was there; `file` is what it was made of.
  show(image, file = null, isReady = false) {
    this.#change({ items: [{ image, file, isReady }], x: 0, y: 0 });
  }

  clear() {
    if (!this.isEmpty) this.#change({ items: [], x: 0, y: 0 });
  }

  undo() {
    if (this.past.length) this.now = this.past.pop();
    this.#draw();
  }

  toBlob() {
    return new Promise((resolve) => this.canvas.toBlob(resolve, "image/png"));
  }

  #change(changes) {
    this.past = [...this.past.slice(-99), { ...this.now }];
    this.now = { ...this.now, ...changes };
    this.#draw();
  }

  #onPaper([x, y]) {
    return [x - this.now.x, y - this.now.y];
  }

  #draw() {
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "white";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.translate(this.now.x, this.now.y);
    for (const item of this.now.items) item.image ? this.#drawImage(context, item.image) : drawStroke(context, item);
  }

  #drawImage(context, image) {
    const { width, height } = this.canvas;
    const scale = Math.min(width / image.width, height / image.height);
    const size = [image.width * scale, image.height * scale];
    context.drawImage(image, (width - size[0]) / 2, (height - size[1]) / 2, ...size);
  }
}

function drawStroke(context, { width, points }) {
  context.lineWidth = width;
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = "black";
  context.beginPath();
  context.moveTo(...points[0]);
  for (const point of points) context.lineTo(...point); // the first once more: a dot is a stroke too
  context.stroke();
}
